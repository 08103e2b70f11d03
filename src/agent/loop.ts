/**
 * When passes run: at start, when a source of change asks for one, and when the pass before says that one is due: at the
 * latest once per resync interval, after a failure sooner. Without sources this is the Go program's loop.
 */
import type { Clock } from "../system/clock.ts";
import type { Outcome } from "./reconcile.ts";
import { createPace, type Pass } from "./throttle.ts";
import type { Inbox, Reason } from "./triggers.ts";

export interface LoopOptions {
  readonly watch: boolean;
  readonly inbox: Inbox;
  /** Told when a pass begins. */
  readonly begin?: () => void;
  /** Told of each pass, why it ran, and how far healing is slowed down because somebody fights. */
  readonly report?: (outcome: Outcome, reason: Reason, fightMs: number) => void;
}

/** Runs passes until `signal` is aborted. */
export async function runLoop(
  reconcile: () => Promise<Outcome>,
  { watch, inbox, begin, report }: LoopOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const pace = createPace();
  let reason: Reason = "start";
  while (!signal.aborted) {
    inbox.clear();
    begin?.();
    const outcome = await reconcile().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (outcome === undefined) return;
    const { dueInMs, durationMs } = outcome;
    pace.record({ endedAt: clock.now(), durationMs, kind: kindOf(outcome, reason) });
    report?.(outcome, reason, pace.fightMs());
    if (outcome.again) inbox.request("ruleset");
    const request = await inbox.next(dueInMs, signal);
    // A storm of commits has to wait its turn, but not what an operator has changed.
    const sooner =
      request === "ruleset" ? await inbox.next(pace.waitMs(clock.now()), signal, "config") : undefined;
    reason = sooner ?? request ?? (watch && outcome.failed ? "retry" : "resync");
  }
}

function kindOf({ healed, applied, failures }: Outcome, reason: Reason): Pass["kind"] {
  if (healed.length > 0) return "healed";
  // What a tool takes to fail is no measure of a look's cost, and must not put off the other family.
  const hasFailed = failures.some((one) => one !== "config" && one !== "source");
  return reason === "ruleset" && applied === 0 && !hasFailed ? "idle" : "other";
}

/**
 * When passes run: at start, when a source of change requests one, and when the previous pass says that one is due: at
 * least once per resync interval, sooner after a failure. Without sources this is the Go program's loop.
 */
import type { Clock } from "../system/clock.ts";
import type { PassOutcome } from "./reconcile.ts";
import { createThrottle, type Pass } from "./throttle.ts";
import type { Reason, Triggers } from "./triggers.ts";

export interface LoopOptions {
  readonly watch: boolean;
  readonly triggers: Triggers;
  /** Called when a pass begins. */
  readonly begin?: () => void;
  /** Called after each pass with its reason, and with the delay of healings because another process fights. */
  readonly report?: (outcome: PassOutcome, reason: Reason, fightMs: number) => void;
}

/** Runs passes until `signal` is aborted. */
export async function runLoop(
  reconcile: () => Promise<PassOutcome>,
  { watch, triggers, begin, report }: LoopOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const throttle = createThrottle();
  let reason: Reason = "start";
  while (!signal.aborted) {
    triggers.clear();
    begin?.();
    const outcome = await reconcile().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (outcome === undefined) return;
    const { dueInMs, durationMs } = outcome;
    throttle.record({ endedAt: clock.now(), durationMs, kind: kindOf(outcome, reason) });
    report?.(outcome, reason, throttle.fightMs());
    if (outcome.again) triggers.request("ruleset");
    const request = await triggers.next(dueInMs, signal);
    // A storm of commits has to wait, but a change by an operator does not.
    const sooner =
      request === "ruleset" ? await triggers.next(throttle.waitMs(clock.now()), signal, "config") : undefined;
    reason = sooner ?? request ?? (watch && outcome.failed ? "retry" : "resync");
  }
}

function kindOf({ healed, applied, failures }: PassOutcome, reason: Reason): Pass["kind"] {
  if (healed.length > 0) return "healed";
  // The time that a tool takes to fail does not measure the cost of an inspection, and must not delay the other family.
  const hasFailed = failures.some((one) => one !== "config" && one !== "source");
  return reason === "ruleset" && applied === 0 && !hasFailed ? "idle" : "other";
}

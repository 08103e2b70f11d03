/**
 * When passes run: at start, when a source of change requests one, and when the previous pass says that one is due: at
 * least once per resync interval, sooner after a failure. Without sources this is the Go program's loop.
 */
import type { Clock } from "../system/clock.ts";
import type { PassOutcome } from "./reconcile.ts";
import { createThrottle, type Pass } from "./throttle.ts";
import type { Reason, Request, Triggers } from "./triggers.ts";

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
  const pace = createPaces(clock);
  let reason: Reason = "start";
  while (!signal.aborted) {
    triggers.clear();
    begin?.();
    const outcome = await reconcile().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (outcome === undefined) return;
    pace.record(outcome, reason);
    report?.(outcome, reason, pace.fightMs());
    if (outcome.again) triggers.request("ruleset");
    const request = await triggers.next(outcome.dueInMs, signal);
    const wait = request === undefined || request === "config" ? undefined : pace.waitFor(request);
    const sooner = wait && (await triggers.next(wait.ms, signal, wait.others));
    reason = sooner ?? request ?? (watch && outcome.failed ? "retry" : "resync");
  }
}

/** How soon a pass may follow for each kind of request. Storms of commits have to wait, and so do addresses that come and go. */
function createPaces({ now }: Pick<Clock, "now">) {
  const throttles = { ruleset: createThrottle(), address: createThrottle() };
  return {
    record(outcome: PassOutcome, reason: Reason) {
      const { durationMs } = outcome;
      const endedAt = now();
      throttles.ruleset.record({ endedAt, durationMs, kind: kindOf(outcome, reason) });
      if (reason !== "address") return;
      throttles.address.record({ endedAt, durationMs, kind: outcome.applied > 0 ? "healed" : "idle" });
    },
    fightMs: throttles.ruleset.fightMs,
    /** Milliseconds to wait, and the requests that need not wait so long: a change by an operator never does. */
    waitFor(request: keyof typeof throttles): { readonly ms: number; readonly others: readonly Request[] } {
      const other = request === "ruleset" ? "address" : "ruleset";
      const isOtherFree = throttles[other].waitMs(now()) === 0;
      return { ms: throttles[request].waitMs(now()), others: isOtherFree ? ["config", other] : ["config"] };
    },
  };
}

function kindOf({ healed, applied, failures }: PassOutcome, reason: Reason): Pass["kind"] {
  if (healed.length > 0) return "healed";
  // The time that a tool takes to fail does not measure the cost of an inspection, and must not delay the other family.
  const hasFailed = failures.some((one) => one !== "config" && one !== "source");
  return reason === "ruleset" && applied === 0 && !hasFailed ? "idle" : "other";
}

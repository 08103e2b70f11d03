/**
 * When passes run: at start, when a source of change asks for one, and at the latest once per resync interval; after a
 * failure, with `watch`, sooner, at intervals that double and are spread, so that the nodes of a cluster do not retry
 * in step. Without sources this is the Go program's loop.
 */
import type { Clock } from "./clock.ts";
import type { Inbox, Reason } from "./inbox.ts";
import { createPace, type Pass } from "./pace.ts";
import type { Outcome } from "./reconcile.ts";

/** The first retry after a failure; each further one waits twice as long, up to the resync interval. */
const MIN_RETRY_MS = 100;

export interface LoopOptions {
  readonly watch: boolean;
  readonly random: () => number;
  readonly inbox: Inbox;
  /** Told when a pass begins. */
  readonly begin?: () => void;
  /** Told of each pass, why it ran, and how far healing is slowed down because somebody fights. */
  readonly report?: (outcome: Outcome, reason: Reason, fightMs: number) => void;
}

/** Runs passes until `signal` is aborted. */
export async function runLoop(
  reconcile: () => Promise<Outcome>,
  { watch, random, inbox, begin, report }: LoopOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const pace = createPace();
  let failures = 0;
  let reason: Reason = "start";
  while (!signal.aborted) {
    inbox.clear();
    begin?.();
    const outcome = await reconcile().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (outcome === undefined) return;
    const { resyncIntervalMs, dueInMs, durationMs } = outcome;
    pace.record({ endedAt: clock.now(), durationMs, kind: kindOf(outcome, reason) });
    report?.(outcome, reason, pace.fightMs());
    failures = outcome.failed ? failures + 1 : 0;
    const retry = watch && failures > 0;
    const delay = retry ? retryDelay(failures, resyncIntervalMs, random()) : dueInMs;
    const request = await inbox.next(delay, signal);
    // A storm of commits has to wait its turn, but not what an operator has changed.
    const sooner =
      request === "ruleset" ? await inbox.next(pace.waitMs(clock.now()), signal, "config") : undefined;
    reason = sooner ?? request ?? (retry ? "retry" : "resync");
  }
}

function kindOf({ healed, applied }: Outcome, reason: Reason): Pass["kind"] {
  if (healed.length > 0) return "healed";
  return reason === "ruleset" && applied === 0 ? "idle" : "other";
}

/** Milliseconds until the next try after `failures` in a row; `random` from [0, 1) takes off up to a quarter, but none of the least. */
export function retryDelay(failures: number, resyncIntervalMs: number, random: number): number {
  const exponential = MIN_RETRY_MS * 2 ** Math.min(failures - 1, 40);
  return Math.max(MIN_RETRY_MS, Math.min(exponential, resyncIntervalMs) * (1 - random / 4));
}

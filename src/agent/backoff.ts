/**
 * When to retry after a failure: at intervals that double, with jitter so that the nodes of a cluster do not retry in
 * step.
 */

/** The first retry after a failure; each further one waits twice as long, up to a limit. */
const MIN_RETRY_MS = 100;

/** The longest pause between tries while rules are not in force. */
export const MAX_RETRY_MS = 5_000;

/**
 * An event may remove the cause of a failure, so it brings the retry forward. But a failing tool does not run at each event of a
 * storm, and a slow one takes 5 % of the time at most, or its share next to the longest pause.
 */
const EVENT_RETRY_MS = 1_000;
const PAUSE_RATIO = 20;

export interface Backoff {
  /** Notes a failure at `now`, after `tookMs`; the retry is due `longestMs` later at the latest. */
  readonly failed: (now: number, tookMs: number, longestMs: number) => void;
  readonly succeeded: () => void;
  /** When the retry is due; undefined without a failure. */
  readonly dueAt: () => number | undefined;
  /** Brings the retry forward: an event may have removed the cause. */
  readonly hurry: () => void;
}

/** A back-off without a failure; `random` from [0, 1). */
export function createBackoff(random: () => number): Backoff {
  let failures = 0;
  let notBefore = 0;
  let dueAt: number | undefined;
  return {
    failed(now, tookMs, longestMs) {
      failures++;
      notBefore = now + Math.max(EVENT_RETRY_MS, Math.min(tookMs * PAUSE_RATIO, longestMs));
      dueAt = now + retryDelay(failures, longestMs, random());
    },
    succeeded() {
      failures = 0;
      dueAt = undefined;
    },
    dueAt: () => dueAt,
    hurry() {
      if (dueAt !== undefined) dueAt = Math.min(dueAt, notBefore);
    },
  };
}

/** Milliseconds until the next try after `failures` in a row; `random` from [0, 1) takes off up to a quarter, but never goes below the minimum. */
export function retryDelay(failures: number, longestMs: number, random: number): number {
  const exponential = MIN_RETRY_MS * 2 ** Math.min(failures - 1, 40);
  return Math.max(MIN_RETRY_MS, Math.min(exponential, longestMs) * (1 - random / 4));
}

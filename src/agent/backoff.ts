/**
 * When what has failed is tried again: at intervals that double, and are spread so that the nodes of a cluster do not
 * retry in step.
 */

/** The first retry after a failure; each further one waits twice as long, up to a limit. */
const MIN_RETRY_MS = 100;

/** While rules are not in force, they are tried for at least so often. */
export const MAX_RETRY_MS = 5_000;

/**
 * An event may be what a failure has waited for; but a tool that fails is not run at each of a storm's events, and one that takes
 * long to fail takes 5 % of the time, or what is left of it beside the longest pause.
 */
const EVENT_RETRY_MS = 1_000;
const PAUSE_RATIO = 20;

export interface Backoff {
  /** It has failed now, after so long, and is due after the longest pause at the latest. */
  readonly failed: (now: number, tookMs: number, longestMs: number) => void;
  readonly succeeded: () => void;
  /** When it is due again; undefined unless it has failed. */
  readonly dueAt: () => number | undefined;
  /** Something has happened that may help. */
  readonly hurry: () => void;
}

/** A back-off of what has not failed yet; `random` from [0, 1). */
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

/** Milliseconds until the next try after `failures` in a row; `random` from [0, 1) takes off up to a quarter, but none of the least. */
export function retryDelay(failures: number, longestMs: number, random: number): number {
  const exponential = MIN_RETRY_MS * 2 ** Math.min(failures - 1, 40);
  return Math.max(MIN_RETRY_MS, Math.min(exponential, longestMs) * (1 - random / 4));
}

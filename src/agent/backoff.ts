/**
 * When what has failed is tried again: at intervals that double, and are spread so that the nodes of a cluster do not
 * retry in step.
 */

/** The first retry after a failure; each further one waits twice as long, up to the resync interval. */
const MIN_RETRY_MS = 100;

/**
 * An event may be what a failure has waited for; but a tool that fails is not run at each of a storm's events, and one that takes
 * long to fail would keep the other family waiting: 5 % of the time at most.
 */
const EVENT_RETRY_MS = 1_000;
const PAUSE_RATIO = 20;

export interface Backoff {
  /** It has failed now, after so long. */
  readonly failed: (now: number, tookMs: number, resyncIntervalMs: number) => void;
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
    failed(now, tookMs, resyncIntervalMs) {
      failures++;
      notBefore = now + Math.max(EVENT_RETRY_MS, tookMs * PAUSE_RATIO);
      dueAt = now + retryDelay(failures, resyncIntervalMs, random());
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
export function retryDelay(failures: number, resyncIntervalMs: number, random: number): number {
  const exponential = MIN_RETRY_MS * 2 ** Math.min(failures - 1, 40);
  return Math.max(MIN_RETRY_MS, Math.min(exponential, resyncIntervalMs) * (1 - random / 4));
}

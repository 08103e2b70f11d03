/**
 * When passes run: at start, then once per resync interval; after a failure, with `watch`, sooner, at
 * intervals that double and are spread, so that the nodes of a cluster do not retry in step.
 */
import type { Clock } from "./clock.ts";
import type { Outcome } from "./reconcile.ts";

/** The first retry after a failure; each further one waits twice as long, up to the resync interval. */
const MIN_RETRY_MS = 100;

/** Runs passes until `signal` is aborted. */
export async function runLoop(
  reconcile: () => Promise<Outcome>,
  options: { readonly watch: boolean; readonly random: () => number },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const outcome = await reconcile().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (outcome === undefined) return;
    const { errors, resyncIntervalMs } = outcome;
    failures = errors.length === 0 ? 0 : failures + 1;
    const retry = options.watch && failures > 0;
    await clock.sleep(
      retry ? retryDelay(failures, resyncIntervalMs, options.random()) : resyncIntervalMs,
      signal,
    );
  }
}

/** Milliseconds until the next try after `failures` in a row; `random` from [0, 1) takes off up to a quarter, but none of the least. */
export function retryDelay(failures: number, resyncIntervalMs: number, random: number): number {
  const exponential = MIN_RETRY_MS * 2 ** Math.min(failures - 1, 40);
  return Math.max(MIN_RETRY_MS, Math.min(exponential, resyncIntervalMs) * (1 - random / 4));
}

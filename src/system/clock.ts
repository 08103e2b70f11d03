/** Time, for the loop and its waits. Tests pass their own. */
export interface Clock {
  /** Milliseconds since some moment, which never jump. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The longest delay that a timer takes; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's monotonic clock. */
export const systemClock: Clock = {
  // Not performance.now(): Node loads a module for it in 2 ms, which delays the first pass.
  now: () => Number(process.hrtime.bigint()) / 1e6,
  sleep: async (ms, signal) => {
    for (let left = ms; left > 0 && !signal.aborted; left -= MAX_TIMER_MS) {
      await sleepPiece(Math.min(left, MAX_TIMER_MS), signal);
    }
  },
};

function sleepPiece(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

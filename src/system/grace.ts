/** How the agent ends: work that has begun to change something may finish, within a time limit. */

/** The longest time that such work may keep the agent from exiting; the manifests give the pod 5 s. */
export const EXIT_GRACE_MS = 3_000;

/** The time after which the agent kills tools that still run, so that they are gone when the agent is. */
const CUT_MS = 2_500;

/** Aborted when the time is up for work that may finish after `signal`. */
export function cutAfter(signal: AbortSignal): AbortSignal {
  const cut = new AbortController();
  const arm = () => setTimeout(() => cut.abort(), CUT_MS).unref();
  signal.addEventListener("abort", arm, { once: true });
  return cut.signal;
}

/** How the agent ends: what has begun to change something may finish, for so long. */

/** How long what is under way may keep the agent from exiting; the manifests give the pod 5 s. */
export const EXIT_GRACE_MS = 3_000;

/** When tools are ended that have not finished by then, so that they are gone when the agent is. */
const CUT_MS = 2_500;

/** Aborted when time is up for what may finish after `signal`. */
export function cutAfter(signal: AbortSignal): AbortSignal {
  const cut = new AbortController();
  const arm = () => setTimeout(() => cut.abort(), CUT_MS).unref();
  signal.addEventListener("abort", arm, { once: true });
  return cut.signal;
}

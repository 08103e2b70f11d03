/**
 * Where sources of change request passes. However many requests there are, one pass follows: they pile up in one slot until
 * the loop comes back. Only then it checks which are still due, since the pass under way may have covered them.
 */
import type { Clock } from "../system/clock.ts";

/** Why a pass runs. */
export type Reason = "start" | "resync" | "retry" | "config" | "ruleset" | "address";

/** A reason from outside the loop. */
export type Request = Extract<Reason, "config" | "ruleset" | "address">;

export interface Triggers {
  /** Requests a pass, unless `isDue` is false by the time it could run. */
  readonly request: (reason: Request, isDue?: () => boolean) => void;
  /**
   * Waits for a request, or for one of some kinds only, `ms` at most. Returns its reason, or undefined once the time is over
   * or `signal` aborted.
   */
  readonly next: (ms: number, signal: AbortSignal, only?: readonly Request[]) => Promise<Request | undefined>;
  /** Forgets all requests: a pass begins, which covers them. */
  readonly clear: () => void;
}

const ALWAYS = () => true;

/** Triggers without a request. */
export function createTriggers({ sleep }: Pick<Clock, "sleep">): Triggers {
  const requests = new Map<Request, () => boolean>();
  let wake = () => {};
  const due = (only: readonly Request[] | undefined): Request | undefined => {
    for (const [reason, isDue] of requests) {
      if (!isDue()) requests.delete(reason);
      else if (only === undefined || only.includes(reason)) return reason;
    }
    return undefined;
  };
  return {
    request(reason, isDue = ALWAYS) {
      requests.set(reason, isDue);
      wake();
    },
    async next(ms, signal, only) {
      const early = due(only);
      if (early !== undefined || signal.aborted) return early;
      const waiting = new AbortController();
      const stop = () => waiting.abort();
      signal.addEventListener("abort", stop, { once: true });
      let found: Request | undefined;
      wake = () => {
        found = due(only);
        if (found !== undefined) stop();
      };
      await sleep(ms, waiting.signal);
      wake = () => {};
      signal.removeEventListener("abort", stop);
      return found;
    },
    clear: () => requests.clear(),
  };
}

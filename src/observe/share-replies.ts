/**
 * One answer for all who ask in a rush: metrics and the page cost milliseconds on the thread that also keeps the rules,
 * and whoever asks a thousand times a second must not make it late. Who asks now and then always gets a fresh answer, so
 * that what was seen to happen is in it.
 */
import type { Reply, Routes } from "./reply.ts";

/** So many answers in a row are fresh, ... */
const BURST = 4;
/** ... and one more after each such time; as old is what others get. */
const REFILL_MS = 50;

/** The same routes, of which each is evaluated 20 times a second at most; `now` is in milliseconds and never steps back. */
export function shareReplies(routes: Routes, now: () => number = () => performance.now()): Routes {
  return Object.fromEntries(Object.entries(routes).map(([path, route]) => [path, shared(route, now)]));
}

function shared(route: Routes[string], now: () => number): Routes[string] {
  let last: Promise<Reply> | undefined;
  let left = BURST;
  let refilledAt = now();
  return () => {
    const at = now();
    left = Math.min(BURST, left + (at - refilledAt) / REFILL_MS);
    refilledAt = at;
    if (last === undefined || left >= 1) {
      left -= 1;
      last = evaluate(route);
    }
    return last;
  };
}

/** Also what a route throws becomes part of the promise. */
async function evaluate(route: Routes[string]): Promise<Reply> {
  return await route();
}

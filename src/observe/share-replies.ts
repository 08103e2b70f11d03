/**
 * One reply for all requests of a rush: metrics and the page cost milliseconds on the thread that also keeps the rules,
 * and a thousand requests a second must not delay it. A client that asks now and then always gets a fresh reply, which
 * contains all that has happened.
 */
import type { Reply, Routes } from "./reply.ts";

/** Token bucket: so many fresh replies in a row, ... */
const BURST = 4;
/** ... refilled at one per this time. Requests beyond that get the latest reply, which is as old at most. */
const REFILL_MS = 50;

/** The same routes, each evaluated at most 20 times a second; `now` is in milliseconds and never goes back. */
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

/** A throw of a route becomes part of the promise, too. */
async function evaluate(route: Routes[string]): Promise<Reply> {
  return await route();
}

/**
 * One answer for all who ask at about the same time: metrics and the page cost milliseconds on the thread that also
 * keeps the rules, and whoever asks a thousand times a second must not make it late.
 */
import type { Reply, Routes } from "./server.ts";

/** As old may an answer be. */
const REUSE_MS = 100;

/** The same routes, of which each is evaluated ten times a second at most; `now` is in milliseconds and never steps back. */
export function shareReplies(routes: Routes, now: () => number = () => performance.now()): Routes {
  return Object.fromEntries(
    Object.entries(routes).map(([path, route]) => {
      let last: { readonly at: number; readonly reply: Promise<Reply> } | undefined;
      const shared = () => {
        const at = now();
        if (last === undefined || at - last.at >= REUSE_MS) last = { at, reply: evaluate(route) };
        return last.reply;
      };
      return [path, shared];
    }),
  );
}

/** Also what a route throws becomes part of the promise. */
async function evaluate(route: Routes[string]): Promise<Reply> {
  return await route();
}

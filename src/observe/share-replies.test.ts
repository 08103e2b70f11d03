import { expect, test } from "vitest";
import { plainReply } from "./reply.ts";
import { shareReplies } from "./share-replies.ts";

/** What `count` requests for a path are answered. */
async function ask(routes: ReturnType<typeof shareReplies>, path: string, count: number) {
  return (await Promise.all(Array.from({ length: count }, () => routes[path]?.()))).map(
    (reply) => reply?.body,
  );
}

function counted() {
  let count = 0;
  return () => plainReply(200, String(++count));
}

test("a few answers are fresh, those of a rush are shared, each path's for itself", async () => {
  let at = 0;
  const routes = shareReplies({ "/a": counted(), "/b": counted() }, () => at);
  expect(await ask(routes, "/a", 7)).toEqual(["1", "2", "3", "4", "4", "4", "4"]);
  expect(await ask(routes, "/b", 2)).toEqual(["1", "2"]);
  at = 49;
  expect(await ask(routes, "/a", 2)).toEqual(["4", "4"]);
  at = 50;
  expect(await ask(routes, "/a", 2)).toEqual(["5", "5"]);
  at = 10_000;
  expect(await ask(routes, "/a", 6)).toEqual(["6", "7", "8", "9", "9", "9"]);
});

test("who asks 20 times a second always gets a fresh answer", async () => {
  let at = 0;
  const routes = shareReplies({ "/": counted() }, () => at);
  for (let i = 1; i <= 100; i++, at += 50) expect(await ask(routes, "/", 1)).toEqual([String(i)]);
});

test("a failure is shared as well, and then tried again; one that never ends is not waited for by all", async () => {
  let at = 0;
  let count = 0;
  const route = () => {
    if (count++ < 4) throw new Error("no");
    return count === 5 ? new Promise<never>(() => {}) : plainReply(200, "ok");
  };
  const routes = shareReplies({ "/": route }, () => at);
  for (let i = 0; i < 5; i++) await expect(routes["/"]?.()).rejects.toThrow("no");
  expect(count).toBe(4);
  at = 50;
  void routes["/"]?.();
  at = 100;
  expect(await ask(routes, "/", 2)).toEqual(["ok", "ok"]);
});

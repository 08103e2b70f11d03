import { expect, test } from "vitest";
import { plainReply } from "./server.ts";
import { shareReplies } from "./share-replies.ts";

test("an answer serves all who ask within 100 ms, each path for itself", async () => {
  let at = 0;
  let count = 0;
  const next = () => plainReply(200, String(++count));
  const routes = shareReplies({ "/a": next, "/b": async () => next() }, () => at);
  const bodies = async (...paths: string[]) =>
    Promise.all(paths.map(async (path) => (await routes[path]?.())?.body));
  expect(await bodies("/a", "/a", "/b", "/a", "/b")).toEqual(["1", "1", "2", "1", "2"]);
  at = 99;
  expect(await bodies("/a")).toEqual(["1"]);
  at = 100;
  expect(await bodies("/a", "/a")).toEqual(["3", "3"]);
  expect(await bodies("/b")).toEqual(["4"]);
});

test("a failure is shared as well, and then tried again; one that never ends is not waited for by all", async () => {
  let at = 0;
  let count = 0;
  const routes = shareReplies(
    {
      "/": () => {
        if (count++ === 0) throw new Error("no");
        return count === 2 ? new Promise(() => {}) : plainReply(200, "ok");
      },
    },
    () => at,
  );
  await expect(routes["/"]?.()).rejects.toThrow("no");
  await expect(routes["/"]?.()).rejects.toThrow("no");
  at = 100;
  void routes["/"]?.();
  at = 200;
  expect((await routes["/"]?.())?.body).toBe("ok");
});

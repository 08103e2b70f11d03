import { describe, expect, test } from "vitest";
import type { Commit } from "../netlink/events.ts";
import { createCommitLog, renderCulprits } from "./commit-log.ts";

const { signal } = new AbortController();
const commit = (generation: number, process = "nft", pid = 7): Commit => ({
  generation,
  pid,
  process,
  touched: false,
});

/** A commit log, and how often it waited; `late` is heard while it does. */
function setUp(...late: Commit[]) {
  const waits: number[] = [];
  const commitLog = createCommitLog(async (ms) => {
    waits.push(ms);
    for (const one of late) commitLog.hear(one);
  });
  return { commitLog, waits };
}

test("it returns the commits of other processes, and not the agent's own", async () => {
  const { commitLog, waits } = setUp();
  for (const generation of [4, 5, 6, 7]) commitLog.hear(commit(generation));
  commitLog.claim({ from: 4, to: 6 });
  expect(await commitLog.between({ from: 3, to: 7 }, signal)).toEqual({
    commits: [commit(4), commit(7)],
    complete: true,
  });
  expect(waits).toEqual([]);
});

test("a claim holds for later events", async () => {
  const { commitLog } = setUp();
  commitLog.claim({ from: 1, to: 2 });
  commitLog.hear(commit(2));
  expect(await commitLog.between({ from: 1, to: 2 }, signal)).toEqual({ commits: [], complete: true });
});

test("it waits for missing events, once there are events at all", async () => {
  const deaf = setUp();
  expect((await deaf.commitLog.between({ from: 1, to: 2 }, signal)).complete).toBe(false);
  expect(deaf.waits).toEqual([]);
  const { commitLog, waits } = setUp(commit(3));
  commitLog.hear(commit(2));
  expect(await commitLog.between({ from: 1, to: 3 }, signal)).toEqual({
    commits: [commit(2), commit(3)],
    complete: true,
  });
  expect(waits).toEqual([20]);
});

test("a gap shows", async () => {
  const { commitLog } = setUp();
  commitLog.hear(commit(2));
  commitLog.hear(commit(4));
  expect(await commitLog.between({ from: 1, to: 4 }, signal)).toMatchObject({ complete: false });
});

test("no more is remembered than explains anything", async () => {
  const { commitLog } = setUp();
  for (let generation = 1; generation <= 100_000; generation++) commitLog.hear(commit(generation));
  expect(await commitLog.between({ from: 99_990, to: 100_000 }, signal)).toMatchObject({ complete: true });
  const all = await commitLog.between({ from: 0, to: 100_000 }, signal);
  expect(all.commits).toHaveLength(512);
  expect(all.complete).toBe(false);
});

describe("culprits", () => {
  test.each<[readonly Commit[], boolean, string | undefined]>([
    [[], true, undefined],
    [[], false, undefined],
    [[commit(1, "iptables", 4711)], true, "iptables (host pid 4711)"],
    [[commit(1), commit(2)], true, "nft (host pid 7)"],
    [[commit(1)], false, "nft (host pid 7), or an unknown process"],
    [[commit(1), commit(2, "iptables", 8)], true, "one of nft (host pid 7), iptables (host pid 8)"],
    [
      [commit(1, "a"), commit(2, "b"), commit(3, "c"), commit(4, "d")],
      true,
      "one of b (host pid 7), c (host pid 7), d (host pid 7), 1 more",
    ],
  ])("%#", (commits, complete, expected) => {
    expect(renderCulprits({ commits, complete })).toBe(expected);
  });
});

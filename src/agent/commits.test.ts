import { expect, test } from "vitest";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Commit, CommitEvents } from "../netlink/events.ts";
import { type RulesetWorld, watchRuleset } from "./commits.ts";

const COMMIT: Commit = { generation: 7, pid: 1, process: "nft", touched: false };
const NO_ADDON = new NetlinkUnavailable("linux-x64", new Error("no such file"));
const EPERM = new NftablesError({ code: "EPERM", what: "listening", why: "no" });

/**
 * A ruleset source whose way to listen fails as said, time after time, and then works. `sleeps` is how long it slept in
 * all; the clock ends everything after `untilMs`.
 */
async function run(failures: readonly (Error | "works")[], untilMs: number, openFails?: Error) {
  const controller = new AbortController();
  const happened: string[] = [];
  const said: string[] = [];
  let events: CommitEvents | undefined;
  let now = 0;
  let generation = 0;
  const left = [...failures];
  const world: RulesetWorld = {
    async listen(given) {
      const failure = left.shift() ?? "works";
      if (failure !== "works") throw failure;
      happened.push(`listening at ${now}`);
      events = given;
      return { close: () => happened.push(`closed at ${now}`) };
    },
    async open() {
      if (openFails !== undefined) throw openFails;
      happened.push(`asking at ${now}`);
      return { generation: async () => generation++, close: () => happened.push("asked enough") };
    },
    async sleep(ms) {
      now += ms;
      if (now >= untilMs) controller.abort();
    },
    now: () => now,
    say: (line) => said.push(line),
  };
  const listener = {
    commit: (commit: Commit) => happened.push(`commit ${commit.generation}`),
    missed: () => happened.push("missed"),
    moved: (to: number) => happened.push(`moved to ${to}`),
  };
  const ended = watchRuleset(listener, world, controller.signal);
  return { ended, controller, happened, said, events: () => events };
}

/** Lets all work that is under way end: it waits for nothing else. */
async function rest(): Promise<void> {
  await new Promise((done) => setImmediate(done));
}

test("it passes commits on, and reports commits before the beginning as missed", async () => {
  const { ended, controller, happened, said, events } = await run([], 1_000);
  await rest();
  events()?.commit(COMMIT);
  controller.abort();
  await ended;
  expect(happened).toEqual(["listening at 0", "missed", "commit 7", "closed at 0"]);
  expect(said).toEqual([]);
});

test("without events it polls the generation every second, and says so once", async () => {
  const { ended, happened, said } = await run([NO_ADDON, NO_ADDON], 3_000);
  await ended;
  expect(happened).toEqual(["asking at 0", "moved to 0", "moved to 1", "asked enough"]);
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(
    /no netlink sockets on linux-x64.*polling the ruleset's generation every 1 s instead/,
  );
});

test("without netlink there is nothing to be done", async () => {
  const { ended, happened, said } = await run([NO_ADDON], 1_000_000, NO_ADDON);
  await ended;
  expect(happened).toEqual([]);
  expect(said.at(-1)).toMatch(/no netlink sockets.*detected at the resync interval only/);
});

test("a socket that is lost is opened again, at growing intervals, with questions in between", async () => {
  const { ended, controller, happened, said, events } = await run(
    ["works", EPERM, EPERM, "works"],
    1_000_000,
  );
  await rest();
  events()?.lost(new Error("ENOBUFS"));
  await rest();
  await rest();
  expect(happened.filter((line) => line.startsWith("listening"))).toEqual([
    "listening at 0",
    "listening at 700",
  ]);
  expect(happened.filter((line) => line === "missed")).toHaveLength(2);
  expect(happened.filter((line) => line.startsWith("moved"))).toHaveLength(3);
  expect(said).toHaveLength(2);
  controller.abort();
  await ended;
});

test("during a storm it polls the generation, and listens again after a while", async () => {
  const { ended, controller, happened, said, events } = await run([], 1_000_000);
  await rest();
  for (let i = 0; i <= 1_000; i++) events()?.commit({ ...COMMIT, generation: i });
  for (let i = 0; i < 20; i++) await rest();
  expect(happened.filter((line) => line.startsWith("commit"))).toHaveLength(1_001);
  expect(happened.filter((line) => !line.startsWith("commit")).slice(2, 4)).toEqual([
    "closed at 0",
    "asking at 0",
  ]);
  expect(happened.filter((line) => line.startsWith("listening"))).toEqual([
    "listening at 0",
    "listening at 5000",
  ]);
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/more than 1000 commits to nf_tables in a second: polling/);
  controller.abort();
  await ended;
});

test("it polls a kernel that rejects everything ever more rarely, and says so once", async () => {
  const { ended, said } = await run(
    Array.from({ length: 100 }, () => EPERM),
    1_000_000,
    EPERM,
  );
  await ended;
  expect(said).toHaveLength(1);
});

test("it throws errors that are not failures of the environment", async () => {
  const { ended } = await run([new TypeError("our own bug")], 1_000);
  await expect(ended).rejects.toThrow("our own bug");
});

import { describe, expect, test } from "vitest";
import type { Clock } from "./clock.ts";
import { createInbox } from "./inbox.ts";
import { retryDelay, runLoop } from "./loop.ts";
import type { Outcome } from "./reconcile.ts";

const outcome = (errors: readonly string[], resyncIntervalMs = 60_000): Outcome => ({
  startedAt: 0,
  durationMs: 0,
  drift: [],
  healed: [],
  applied: 0,
  errors,
  failures: errors.map(() => "tool"),
  failed: errors.length > 0,
  config: { problems: [], failed: false, isNew: false, source: "/c", hash: null },
  current: undefined,
  groups: [],
  resyncIntervalMs,
  dueInMs: resyncIntervalMs,
});

const inbox = createInbox({ sleep: async () => {} });
const GOOD = outcome([]);
const BAD = outcome(["no"]);

/** Runs the loop through these outcomes and then ends it; gives what it slept in between. */
async function slept(outcomes: readonly Outcome[], watch: boolean, random = 0): Promise<number[]> {
  const controller = new AbortController();
  const delays: number[] = [];
  const clock: Clock = {
    now: () => 0,
    async sleep(ms) {
      delays.push(ms);
      if (delays.length === outcomes.length) controller.abort();
    },
  };
  let passes = 0;
  const reconcile = async () => outcomes[passes++] ?? GOOD;
  const loop = { watch, random: () => random, inbox: createInbox(clock) };
  await runLoop(reconcile, loop, clock, controller.signal);
  expect(passes).toBe(outcomes.length);
  return delays;
}

test.each<[string, readonly Outcome[], readonly number[], readonly number[]]>([
  ["good passes", [GOOD, GOOD], [60_000, 60_000], [60_000, 60_000]],
  ["the interval of the newest pass", [GOOD, outcome([], 5_000)], [60_000, 5_000], [60_000, 5_000]],
  ["failures", [BAD, BAD, BAD, BAD], [100, 200, 400, 800], [60_000, 60_000, 60_000, 60_000]],
  ["a success in between", [BAD, BAD, GOOD, BAD], [100, 200, 60_000, 100], [60_000, 60_000, 60_000, 60_000]],
  ["a short interval", [outcome(["no"], 150), outcome(["no"], 150)], [100, 150], [150, 150]],
])("%s", async (_name, outcomes, watching, plain) => {
  expect(await slept(outcomes, true)).toEqual(watching);
  expect(await slept(outcomes, false)).toEqual(plain);
});

describe("retryDelay", () => {
  test.each([
    [1, 60_000, 0, 100],
    [1, 60_000, 1, 100],
    [2, 60_000, 0.5, 175],
    [10, 60_000, 0, 51_200],
    [11, 60_000, 0, 60_000],
    [1_000_000, 60_000, 0, 60_000],
    [1_000_000, 2 ** 63 / 1e6, 0, 2 ** 63 / 1e6],
    [1, 100, 0, 100],
  ])("failure %d, interval %d, random %d: %d ms", (failures, interval, random, expected) => {
    expect(retryDelay(failures, interval, random)).toBe(expected);
  });
});

test("an end during a pass is no failure, and one during a sleep ends the loop", async () => {
  for (const reconcile of [() => Promise.reject(new Error("aborted")), async () => GOOD]) {
    const controller = new AbortController();
    const clock: Clock = { now: () => 0, sleep: async () => controller.abort() };
    let passes = 0;
    const pass = () => {
      passes++;
      queueMicrotask(() => controller.abort());
      return new Promise<Outcome>((resolve, reject) => setImmediate(() => reconcile().then(resolve, reject)));
    };
    const loop = { watch: true, random: () => 0, inbox: createInbox(clock) };
    await runLoop(pass, loop, clock, controller.signal);
    expect(passes).toBe(1);
  }
});

test("a broken invariant ends the loop with its error", async () => {
  const { signal } = new AbortController();
  const clock: Clock = { now: () => 0, sleep: async () => {} };
  const broken = () => Promise.reject(new Error("broken"));
  await expect(runLoop(broken, { watch: true, random: () => 0, inbox }, clock, signal)).rejects.toThrow(
    "broken",
  );
});

test("nothing runs when it is over before it begins", async () => {
  const clock: Clock = { now: () => 0, sleep: async () => {} };
  let passes = 0;
  const pass = async () => {
    passes++;
    return GOOD;
  };
  await runLoop(pass, { watch: true, random: () => 0, inbox }, clock, AbortSignal.abort());
  expect(passes).toBe(0);
});

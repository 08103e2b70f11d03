import { expect, test } from "vitest";
import type { Clock } from "../system/clock.ts";
import { runLoop } from "./loop.ts";
import type { PassOutcome } from "./reconcile.ts";
import { createTriggers } from "./triggers.ts";

const outcome = (errors: readonly string[], resyncIntervalMs = 60_000): PassOutcome => ({
  startedAt: 0,
  durationMs: 0,
  drift: [],
  healed: [],
  applied: 0,
  errors,
  failures: errors.map(() => "tool"),
  failed: errors.length > 0,
  again: false,
  config: { problems: [], failed: false, isNew: false, source: "/c", hash: null },
  current: undefined,
  groups: [],
  leaving: [],
  resyncIntervalMs,
  dueInMs: resyncIntervalMs,
});

const triggers = createTriggers({ sleep: async () => {} });
const GOOD = outcome([]);
const BAD = outcome(["no"]);

/** Runs the loop through these outcomes and then ends it; returns its sleeps in between. */
async function slept(outcomes: readonly PassOutcome[], watch: boolean): Promise<number[]> {
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
  const loop = { watch, triggers: createTriggers(clock) };
  await runLoop(reconcile, loop, clock, controller.signal);
  expect(passes).toBe(outcomes.length);
  return delays;
}

test.each<[string, readonly PassOutcome[], readonly number[]]>([
  ["good passes", [GOOD, GOOD], [60_000, 60_000]],
  ["the interval of the newest pass", [GOOD, outcome([], 5_000)], [60_000, 5_000]],
  ["a retry that is due", [BAD, { ...BAD, dueInMs: 100 }, GOOD], [60_000, 100, 60_000]],
])("a pass follows when the one before says: %s", async (_name, outcomes, delays) => {
  for (const watch of [true, false]) expect(await slept(outcomes, watch)).toEqual(delays);
});

test("a pass whose work was undone is followed by another at once", async () => {
  const delays = await slept([{ ...GOOD, again: true }, GOOD], true);
  expect(delays).toEqual([0, 60_000]);
});

test("an end during a pass is no failure, and one during a sleep ends the loop", async () => {
  for (const reconcile of [() => Promise.reject(new Error("aborted")), async () => GOOD]) {
    const controller = new AbortController();
    const clock: Clock = { now: () => 0, sleep: async () => controller.abort() };
    let passes = 0;
    const pass = () => {
      passes++;
      queueMicrotask(() => controller.abort());
      return new Promise<PassOutcome>((resolve, reject) =>
        setImmediate(() => reconcile().then(resolve, reject)),
      );
    };
    const loop = { watch: true, triggers: createTriggers(clock) };
    await runLoop(pass, loop, clock, controller.signal);
    expect(passes).toBe(1);
  }
});

test("a broken invariant ends the loop with its error", async () => {
  const { signal } = new AbortController();
  const clock: Clock = { now: () => 0, sleep: async () => {} };
  const broken = () => Promise.reject(new Error("broken"));
  await expect(runLoop(broken, { watch: true, triggers }, clock, signal)).rejects.toThrow("broken");
});

test("nothing runs when it is over before it begins", async () => {
  const clock: Clock = { now: () => 0, sleep: async () => {} };
  let passes = 0;
  const pass = async () => {
    passes++;
    return GOOD;
  };
  await runLoop(pass, { watch: true, triggers }, clock, AbortSignal.abort());
  expect(passes).toBe(0);
});

import { describe, expect, test } from "vitest";
import type { Clock } from "../system/clock.ts";
import { runLoop } from "./loop.ts";
import type { PassOutcome } from "./reconcile.ts";
import { createTriggers, type Reason, type Triggers } from "./triggers.ts";

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

describe("addresses", () => {
  /** Runs the loop; after each pass `after` may make requests, and so may `asleep` while it waits. Returns each pass' reason and time. */
  async function passes(
    outcome: PassOutcome,
    after: (triggers: Triggers) => void,
    asleep: (triggers: Triggers) => void = () => {},
  ): Promise<readonly (readonly [Reason, number])[]> {
    const controller = new AbortController();
    const ran: (readonly [Reason, number])[] = [];
    let at = 0;
    const clock: Clock = {
      now: () => at,
      async sleep(ms, signal) {
        if (ms > 0) asleep(triggers);
        if (!signal.aborted) at += ms;
        if (at > 2_500) controller.abort();
      },
    };
    const triggers = createTriggers(clock);
    const report = (_outcome: PassOutcome, reason: Reason) => {
      ran.push([reason, at]);
      if (ran.length > 1_000) controller.abort();
      after(triggers);
    };
    await runLoop(async () => outcome, { watch: true, triggers, report }, clock, controller.signal);
    return ran;
  }

  test("that come and go are followed at once five times a second", async () => {
    const ran = await passes({ ...GOOD, applied: 1 }, (triggers) => triggers.request("address"));
    const during = (from: number) => ran.filter(([, at]) => at >= from && at < from + 1_000).length;
    expect([during(0), during(1_000)]).toEqual([6, 5]);
  });

  test("do not wait for a storm of commits, nor commits for them", async () => {
    const storm = await passes(
      { ...GOOD, durationMs: 30 },
      (triggers) => triggers.request("ruleset"),
      (triggers) => triggers.request("address"),
    );
    // The first look that found nothing is followed by a pause, in which the address has its pass.
    expect(storm.slice(1, 3)).toEqual([
      ["ruleset", 0],
      ["address", 0],
    ]);
    const flapping = await passes(
      { ...GOOD, applied: 1 },
      (triggers) => triggers.request("address"),
      (triggers) => triggers.request("ruleset"),
    );
    expect(flapping.slice(6, 8)).toEqual([
      ["ruleset", 0],
      ["ruleset", 0],
    ]);
  });
});

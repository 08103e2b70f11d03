import { describe, expect, test } from "vitest";
import { createThrottle } from "./throttle.ts";

const idlePass = (endedAt: number, durationMs = 0.5) => ({ endedAt, durationMs, kind: "idle" as const });
const healing = (endedAt: number) => ({ endedAt, durationMs: 30, kind: "healed" as const });

describe("idle passes", () => {
  test.each([
    ["a cheap one", 0.5, 20],
    ["one that costs", 10, 200],
    ["a very dear one", 1_000, 600],
  ])("%s (%d ms) is followed by a pause of %d ms", (_name, durationMs, pause) => {
    const throttle = createThrottle();
    expect(throttle.waitMs(1_000)).toBe(0);
    throttle.record(idlePass(1_000, durationMs));
    expect(throttle.waitMs(1_000)).toBe(pause);
    expect(throttle.waitMs(1_000 + pause)).toBe(0);
    expect(throttle.fightMs()).toBe(0);
  });

  test("only they are: other passes, however long, put nothing off", () => {
    const throttle = createThrottle();
    throttle.record({ endedAt: 1_000, durationMs: 500, kind: "other" });
    expect(throttle.waitMs(1_000)).toBe(0);
  });

  test("a storm of them takes 5 % of a processor at most", () => {
    const throttle = createThrottle();
    let [now, busy] = [0, 0];
    while (now < 60_000) {
      now += throttle.waitMs(now) + 3;
      busy += 3;
      throttle.record(idlePass(now, 3));
    }
    expect(busy / now).toBeLessThanOrEqual(0.05);
  });
});

describe("healings", () => {
  test("five within a second are done at once, the next waits until the second is over", () => {
    const throttle = createThrottle();
    for (const at of [0, 10, 20, 30]) {
      throttle.record(healing(at));
      expect(throttle.waitMs(at)).toBe(0);
    }
    throttle.record(healing(40));
    expect(throttle.fightMs()).toBe(960);
    expect(throttle.waitMs(40)).toBe(960);
    expect(throttle.waitMs(1_000)).toBe(0);
  });

  test("five a second are done at once for minutes", () => {
    const throttle = createThrottle();
    for (let at = 0; at < 100_000; at += 210) {
      expect(throttle.waitMs(at)).toBe(0);
      throttle.record(healing(at));
    }
  });

  test("a fight that lasts is slowed down to one in 5 s, and forgotten once it is over", () => {
    const throttle = createThrottle();
    const times: number[] = [];
    for (let now = 0; now < 600_000; now += throttle.waitMs(now) + 30) {
      throttle.record(healing(now));
      times.push(now);
    }
    const inMinute = (n: number) => times.filter((at) => Math.floor(at / 60_000) === n).length;
    expect(inMinute(0)).toBeGreaterThan(200);
    expect(inMinute(3)).toBeLessThanOrEqual(13);
    expect(Math.max(...times.map((at, i) => at - (times[i - 1] ?? at)))).toBeLessThanOrEqual(5_030);
    const later = (times.at(-1) ?? 0) + 300_000;
    throttle.record(healing(later));
    expect(throttle.fightMs()).toBe(0);
  });

  test("after an idle pass's pause, a healing does not wait for it", () => {
    const throttle = createThrottle();
    throttle.record(idlePass(0, 100));
    throttle.record(healing(50));
    expect(throttle.waitMs(50)).toBe(0);
  });
});

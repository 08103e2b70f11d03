import { describe, expect, test } from "vitest";
import { createBackoff, retryDelay } from "./backoff.ts";

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

describe("a back-off", () => {
  /** Fails so many times in a row, each time when it is due. */
  const failing = (times: number, tookMs = 0) => {
    const backoff = createBackoff(() => 0);
    for (let i = 0; i < times; i++) backoff.failed(backoff.dueAt() ?? 0, tookMs, 60_000);
    return backoff;
  };

  test("is due ever later, and not at all once it has succeeded", () => {
    const backoff = failing(1);
    expect(backoff.dueAt()).toBe(100);
    backoff.failed(100, 0, 60_000);
    expect(backoff.dueAt()).toBe(300);
    backoff.succeeded();
    expect(backoff.dueAt()).toBeUndefined();
    backoff.failed(500, 0, 60_000);
    expect(backoff.dueAt()).toBe(600);
  });

  test("is due a second after the failure if something has happened, however much", () => {
    const backoff = failing(8);
    const failedAt = (2 ** 7 - 1) * 100;
    expect(backoff.dueAt()).toBe(failedAt + 12_800);
    for (let i = 0; i < 100; i++) backoff.hurry();
    expect(backoff.dueAt()).toBe(failedAt + 1_000);
  });

  test("of a slow failure leaves it 5 % of the time, but never pauses longer than the limit", () => {
    const failedAt = (2 ** 9 - 1) * 100;
    for (const [tookMs, pauseMs] of [
      [100, 2_000],
      [10_000, 60_000],
    ] as const) {
      const backoff = failing(10, tookMs);
      backoff.hurry();
      expect(backoff.dueAt()).toBe(failedAt + Math.min(pauseMs, 51_200));
    }
  });

  test("that is due sooner is not put off by an event, nor is one that never failed made due", () => {
    const backoff = failing(1);
    backoff.hurry();
    expect(backoff.dueAt()).toBe(100);
    const good = createBackoff(() => 0);
    good.hurry();
    expect(good.dueAt()).toBeUndefined();
  });
});

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "./clock.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Whether a sleep is over, asked after `ms` of fake time. */
function sleeping(ms: number) {
  const controller = new AbortController();
  const state = { over: false };
  void systemClock.sleep(ms, controller.signal).then(() => {
    state.over = true;
  });
  const after = async (passed: number): Promise<boolean> => {
    await vi.advanceTimersByTimeAsync(passed);
    return state.over;
  };
  return { controller, after };
}

test.each([1, 100, 60_000, 2 ** 31 - 1])("a sleep of %d ms ends then, and not before", async (ms) => {
  const { after } = sleeping(ms);
  expect(await after(ms - 1)).toBe(false);
  expect(await after(1)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test.each([2 ** 31, 2 ** 32 + 5, 3 * (2 ** 31 - 1)])(
  "%d ms, more than a timer takes, are slept in pieces",
  async (ms) => {
    const { after } = sleeping(ms);
    expect(await after(ms - 1)).toBe(false);
    expect(vi.getTimerCount()).toBe(1);
    expect(await after(1)).toBe(true);
  },
);

test.each([0, -1, -60_000])("%d ms are over at once", async (ms) => {
  const { after } = sleeping(ms);
  expect(await after(0)).toBe(true);
});

test("aborting ends a sleep, in any of its pieces, and leaves nothing behind", async () => {
  for (const passed of [0, 10, 2 ** 31 + 10]) {
    const { controller, after } = sleeping(2 ** 33);
    expect(await after(passed)).toBe(false);
    controller.abort();
    expect(await after(0)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  }
});

test("a sleep that is aborted before it begins is over at once", async () => {
  await systemClock.sleep(1_000, AbortSignal.abort());
  expect(vi.getTimerCount()).toBe(0);
});

test("a hundred sleeps leave no listeners on the signal", async () => {
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  for (let i = 0; i < 100; i++) {
    const slept = systemClock.sleep(1, signal);
    await vi.advanceTimersByTimeAsync(1);
    await slept;
  }
  expect(removed.mock.calls.length).toBe(added.mock.calls.length);
});

test("now counts milliseconds forward", async () => {
  const before = systemClock.now();
  await vi.advanceTimersByTimeAsync(250);
  expect(systemClock.now() - before).toBeCloseTo(250);
});

import { describe, expect, test } from "vitest";
import { systemClock } from "../system/clock.ts";
import { createTriggers } from "./triggers.ts";

const { signal } = new AbortController();
/** Far beyond the test's own deadline: who waits for it waits for a request. */
const LONG_MS = 1_000_000;

describe("a request", () => {
  test("that was made before is there at once", async () => {
    const triggers = createTriggers(systemClock);
    triggers.request("config");
    expect(await triggers.next(LONG_MS, signal)).toBe("config");
  });

  test("ends the waiting", async () => {
    const triggers = createTriggers(systemClock);
    const next = triggers.next(LONG_MS, signal);
    triggers.request("ruleset");
    expect(await next).toBe("ruleset");
  });

  test("is one, however often it was made, and gone once a pass begins", async () => {
    const triggers = createTriggers(systemClock);
    for (let i = 0; i < 1_000; i++) triggers.request("ruleset");
    expect(await triggers.next(LONG_MS, signal)).toBe("ruleset");
    triggers.clear();
    expect(await triggers.next(0, signal)).toBeUndefined();
  });

  test("stays while only others are waited for", async () => {
    const triggers = createTriggers(systemClock);
    triggers.request("ruleset");
    const next = triggers.next(LONG_MS, signal, ["config"]);
    triggers.request("config");
    expect(await next).toBe("config");
    expect(await triggers.next(0, signal)).toBe("ruleset");
  });

  test("that is not due any more does not count", async () => {
    const triggers = createTriggers(systemClock);
    let due = true;
    triggers.request("ruleset", () => due);
    due = false;
    expect(await triggers.next(0, signal)).toBeUndefined();
    due = true;
    expect(await triggers.next(0, signal)).toBeUndefined();
  });

  test("that is not due does not end the waiting", async () => {
    const triggers = createTriggers(systemClock);
    const next = triggers.next(LONG_MS, signal);
    triggers.request("ruleset", () => false);
    triggers.request("config");
    expect(await next).toBe("config");
  });
});

test("the time being over, or the end of everything, are no request", async () => {
  const triggers = createTriggers(systemClock);
  expect(await triggers.next(1, signal)).toBeUndefined();
  const controller = new AbortController();
  const next = triggers.next(LONG_MS, controller.signal);
  controller.abort();
  expect(await next).toBeUndefined();
  expect(await triggers.next(LONG_MS, controller.signal)).toBeUndefined();
});

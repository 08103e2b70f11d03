import { describe, expect, test } from "vitest";
import { systemClock } from "../system/clock.ts";
import { createInbox } from "./triggers.ts";

const { signal } = new AbortController();
/** Far beyond the test's own deadline: who waits for it waits for a request. */
const LONG_MS = 1_000_000;

describe("a request", () => {
  test("that was made before is there at once", async () => {
    const inbox = createInbox(systemClock);
    inbox.request("config");
    expect(await inbox.next(LONG_MS, signal)).toBe("config");
  });

  test("ends the waiting", async () => {
    const inbox = createInbox(systemClock);
    const next = inbox.next(LONG_MS, signal);
    inbox.request("ruleset");
    expect(await next).toBe("ruleset");
  });

  test("is one, however often it was made, and gone once a pass begins", async () => {
    const inbox = createInbox(systemClock);
    for (let i = 0; i < 1_000; i++) inbox.request("ruleset");
    expect(await inbox.next(LONG_MS, signal)).toBe("ruleset");
    inbox.clear();
    expect(await inbox.next(0, signal)).toBeUndefined();
  });

  test("stays while only others are waited for", async () => {
    const inbox = createInbox(systemClock);
    inbox.request("ruleset");
    const next = inbox.next(LONG_MS, signal, "config");
    inbox.request("config");
    expect(await next).toBe("config");
    expect(await inbox.next(0, signal)).toBe("ruleset");
  });

  test("that is not due any more does not count", async () => {
    const inbox = createInbox(systemClock);
    let due = true;
    inbox.request("ruleset", () => due);
    due = false;
    expect(await inbox.next(0, signal)).toBeUndefined();
    due = true;
    expect(await inbox.next(0, signal)).toBeUndefined();
  });

  test("that is not due does not end the waiting", async () => {
    const inbox = createInbox(systemClock);
    const next = inbox.next(LONG_MS, signal);
    inbox.request("ruleset", () => false);
    inbox.request("config");
    expect(await next).toBe("config");
  });
});

test("the time being over, or the end of everything, are no request", async () => {
  const inbox = createInbox(systemClock);
  expect(await inbox.next(1, signal)).toBeUndefined();
  const controller = new AbortController();
  const next = inbox.next(LONG_MS, controller.signal);
  controller.abort();
  expect(await next).toBeUndefined();
  expect(await inbox.next(LONG_MS, controller.signal)).toBeUndefined();
});

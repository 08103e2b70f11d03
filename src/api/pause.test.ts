import { describe, expect, test } from "vitest";
import { failuresAfter, NO_FAILURES, pauseAfter, type SessionEnd } from "./pause.ts";

const ended: SessionEnd = { kind: "ended" };
const failed: SessionEnd = { kind: "failed", message: "connect ECONNREFUSED" };
const dropped = (watchedMs: number): SessionEnd => ({ kind: "dropped", watchedMs, message: "aborted" });
const refused = (status: number, afterMs = 0, watchedMs = 0): SessionEnd => ({
  kind: "refused",
  ...{ status, afterMs, watchedMs },
  message: "no",
});

/** The shortest and the longest pause after each of these sessions, in seconds. */
function pauses(...ends: readonly SessionEnd[]): string[] {
  let failures = NO_FAILURES;
  return ends.map((end) => {
    failures = failuresAfter(failures, end);
    const [least, most] = [0, 0.999_999].map((random) => pauseAfter(end, failures, random) / 1_000);
    return `${least?.toFixed(1)}-${most?.toFixed(1)}`;
  });
}

describe("pauses", () => {
  test.each<[string, readonly SessionEnd[], readonly string[]]>([
    ["a session that ended by its time is followed at once", [ended, ended], ["0.0-1.0", "0.0-1.0"]],
    [
      "no answer: twice as long each time, up to half a minute",
      Array(8).fill(failed),
      ["0.8-1.6", "1.6-3.2", "3.2-6.4", "6.4-12.8", "12.8-25.6", "25.6-51.2", "30.0-60.0", "30.0-60.0"],
    ],
    [
      "a watch that is dropped: spread over half a minute, once",
      [dropped(200_000), failed],
      ["0.0-30.0", "1.6-3.2"],
    ],
    [
      "watches that are dropped at once, again and again, back off",
      Array(7).fill(dropped(10)),
      ["0.0-30.0", "1.6-30.0", "3.2-30.0", "6.4-30.0", "12.8-30.0", "25.6-51.2", "30.0-60.0"],
    ],
    [
      "after a watch that lasted, failures begin from the first",
      [failed, failed, dropped(61_000)],
      ["0.8-1.6", "1.6-3.2", "0.0-30.0"],
    ],
    [
      "403: a starting server says so for a while; then minutes",
      Array(8).fill(refused(403)),
      ["0.8-1.6", "1.6-3.2", "3.2-6.4", "6.4-12.8", "12.8-25.6", "25.6-51.2", "300.0-600.0", "300.0-600.0"],
    ],
    [
      "403 has to be without a break",
      [...Array(6).fill(refused(403)), failed, refused(403)],
      ["0.8-1.6", "1.6-3.2", "3.2-6.4", "6.4-12.8", "12.8-25.6", "25.6-51.2", "30.0-60.0", "30.0-60.0"],
    ],
    ["Retry-After is the least", [refused(429, 20_000), refused(503, 1_000)], ["20.0-20.0", "1.6-3.2"]],
    ["but not for days", [refused(429, 1e9)], ["600.0-600.0"]],
    ["a watch that ends with an error after minutes", [refused(410, 0, 200_000)], ["0.8-1.6"]],
    [
      "one that ends with an error at once, again and again",
      Array(3).fill(refused(410)),
      ["0.8-1.6", "1.6-3.2", "3.2-6.4"],
    ],
  ])("%s", (_name, ends, expected) => {
    expect(pauses(...ends)).toEqual(expected);
  });
});

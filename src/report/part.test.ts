import { describe, expect, test } from "vitest";
import { CommandError } from "../system/command-error.ts";
import { PART_CHARACTERS, PART_MS, readPart } from "./part.ts";

const SIGNAL = new AbortController().signal;
const never = { now: () => 0, sleep: () => new Promise<void>(() => {}) };
const read = (what: () => unknown, clock: typeof never = never) =>
  readPart("rules", async () => what(), { clock, signal: SIGNAL });

describe("a part that fails says why in its place", () => {
  test.each([
    [
      new CommandError(
        { file: "nft", args: [], purpose: "listing", deadlineMs: 1 },
        { why: "exit status 1: odd" },
      ),
      "error listing: exit status 1: odd",
    ],
    [Object.assign(new Error("no such file"), { name: "SourceError" }), "no such file"],
    ["thrown", "thrown"],
  ])("%s", async (error, why) => {
    const fail = () => {
      throw error;
    };
    expect(await read(fail)).toEqual({ unknown: "rules", why });
  });

  test("and a fault of ours where it was", async () => {
    const fail = () => (undefined as unknown as string).length;
    const { why } = (await read(fail)) as { why: string };
    expect(why).toMatch(/^TypeError: Cannot read .* at fail /);
  });
});

test("a part that takes too long is given up, and told to end", async () => {
  const slept: number[] = [];
  const clock = { now: () => 0, sleep: async (ms: number) => void slept.push(ms) };
  let asked: AbortSignal | undefined;
  const hang = (signal: AbortSignal) => {
    asked = signal;
    return new Promise<never>(() => {});
  };
  expect(await readPart("rules", hang, { clock, signal: SIGNAL })).toEqual({
    unknown: "rules",
    why: "no answer within 30 s",
  });
  expect(slept).toEqual([PART_MS]);
  expect(asked?.aborted).toBe(true);
});

test("when everything is to end, so is a part", async () => {
  const controller = new AbortController();
  const part = readPart("rules", () => new Promise<never>(() => {}), {
    clock: {
      now: () => 0,
      sleep: (_ms, signal) => new Promise((end) => signal.addEventListener("abort", () => end())),
    },
    signal: controller.signal,
  });
  controller.abort(new Error("ending"));
  await expect(part).rejects.toThrow("ending");
});

describe("a part of any length fits, and says what it lacks", () => {
  const line = "-A POSTROUTING -j ACCEPT";
  test.each<[string, unknown]>([
    ["a long list", Array.from({ length: 100_000 }, () => line)],
    ["a list of long lists", Array.from({ length: 300 }, () => Array.from({ length: 3_000 }, () => line))],
    ["a long text", line.repeat(100_000)],
    ["long texts", Array.from({ length: 100 }, () => line.repeat(10_000))],
  ])("%s", async (_what, value) => {
    const text = JSON.stringify(await read(() => value));
    expect(text.length).toBeLessThanOrEqual(PART_CHARACTERS);
    expect(text).toMatch(/\{"leftOut":\d+\}|\.\.\. \(\d+ more characters\)/);
  });

  test("also what has been cut before", async () => {
    const once = (await read(() => Array.from({ length: 6_000 }, () => line))) as readonly unknown[];
    expect(once.at(-1)).toEqual({ leftOut: 1_000 });
    expect(await read(() => once)).toEqual(once);
    expect(await read(() => [...once.slice(0, -1), line, { leftOut: 1_000 }])).toEqual(
      once.with(-1, { leftOut: 1_001 }),
    );
  });

  test("what cannot be cut is unknown", async () => {
    const value = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`member ${i}`, line]));
    expect(await read(() => value)).toEqual({ unknown: "rules", why: "it has more than 1 MiB" });
  });

  test("nothing is cut from what is short", async () => {
    const value = { a: [1, "two", null, { three: 3 }] };
    expect(await read(() => value)).toEqual(value);
    expect(await read(() => ({ count: 5n }))).toEqual({ count: "5" });
    expect(await read(() => undefined)).toBeNull();
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { times } from "../../../test/lab/length.ts";
import { Refused } from "../../api/refused.ts";
import { createSpreadWriter } from "./spread-writer.ts";

/** Lets promises that are due go on. */
const settled = () => new Promise((done) => setImmediate(done));

/** A writer whose time and world a test plays. */
function played(results: (Error | undefined)[] = [], random = () => 0.5) {
  const trace: string[] = [];
  const controller = new AbortController();
  let sleeping: { readonly ms: number; readonly wake: () => void } | undefined;
  const writer = createSpreadWriter<string>(
    {
      async write(value) {
        trace.push(`write ${value}`);
        await settled();
        const result = results.shift();
        if (result !== undefined) throw result;
      },
      keyOf: (value) => value,
      succeeded: () => trace.push("written"),
      failed: ({ kind, message }, { count }) => trace.push(`${kind} ${count}: ${message}`),
      sleep: (ms, signal) =>
        new Promise<void>((wake) => {
          expect(sleeping).toBeUndefined();
          sleeping = { ms, wake };
          signal.addEventListener("abort", () => wake(), { once: true });
        }),
      random,
    },
    controller.signal,
  );
  /** Ends the pause; returns its seconds, undefined if there is none. */
  const wake = async () => {
    const pause = sleeping;
    sleeping = undefined;
    pause?.wake();
    for (let i = 0; i < 4; i++) await settled();
    return pause && pause.ms / 1_000;
  };
  return { writer, trace, wake, abort: () => controller.abort() };
}

describe("a writer", () => {
  test("writes the latest value, within a minute, once", async () => {
    const { writer, trace, wake } = played();
    for (const value of ["a", "b", "c"]) writer.want(value);
    expect(await wake()).toBe(30);
    expect(trace).toEqual(["write c", "written"]);
    writer.want("c");
    expect(await wake()).toBeUndefined();
  });

  test("writes nothing if all is as before when the time has come", async () => {
    const { writer, trace, wake } = played();
    writer.want("ok");
    await wake();
    for (const value of ["failing", "ok"]) writer.want(value);
    expect(await wake()).toBe(30);
    writer.want("refused");
    writer.want(undefined);
    expect(await wake()).toBe(30);
    expect(await wake()).toBeUndefined();
    expect(trace).toEqual(["write ok", "written"]);
  });

  test("a change during a write waits for its own time", async () => {
    const { writer, trace, wake } = played();
    writer.want("a");
    const first = wake();
    await settled();
    writer.want("b");
    expect(await first).toBe(30);
    expect(await wake()).toBe(30);
    expect(await wake()).toBeUndefined();
    expect(trace).toEqual(["write a", "written", "write b", "written"]);
  });

  test("failures are retried as those of the watch; what is written then is the latest", async () => {
    const forbidden = Array.from({ length: 7 }, () => new Refused(403, "403"));
    const { writer, trace, wake } = played([
      new Error("silence"),
      new Refused(429, "429", 7_000),
      ...forbidden,
    ]);
    writer.want("a");
    const pauses = [await wake(), await wake(), await wake()];
    writer.want("b");
    for (let i = 0; i < 7; i++) pauses.push(await wake());
    expect(pauses).toEqual([30, 1.2, 7, 4.8, 9.6, 19.2, 38.4, 45, 45, 450]);
    expect(trace.slice(0, 4)).toEqual(["write a", "failed 1: silence", "write a", "refused 2: 429"]);
    expect(trace.slice(-2)).toEqual(["write b", "written"]);
    expect(await wake()).toBeUndefined();
  });

  test("ends with its signal", async () => {
    const { writer, trace, wake, abort } = played();
    writer.want("a");
    abort();
    await wake();
    expect(trace).toEqual([]);
  });
});

test("writes are spread uniformly, the last value is always written, and never one twice in a row", async () => {
  const steps = fc.array(
    fc.record({ value: fc.constantFrom("a", "b", "c"), wakes: fc.nat(2), fails: fc.boolean() }),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.double({ min: 0, max: 0.999, noNaN: true }), async (all, at) => {
      const results = all.map(({ fails }) => (fails ? new Error("no") : undefined));
      const { writer, trace, wake } = played(results, () => at);
      for (const { value, wakes } of all) {
        writer.want(value);
        for (let i = 0; i < wakes; i++) await wake();
      }
      const pauses: (number | undefined)[] = [];
      do pauses.push(await wake());
      while (pauses.at(-1) !== undefined);
      const written = trace.flatMap((line, i) => (line === "written" ? [trace[i - 1]] : []));
      expect(written.at(-1)).toBe(all.length === 0 ? undefined : `write ${all.at(-1)?.value}`);
      for (const [i, line] of written.entries()) expect(line).not.toBe(written[i - 1]);
      for (const pause of pauses) expect(pause ?? 0).toBeLessThanOrEqual(60);
    }),
    { numRuns: times(30, 300) },
  );
});

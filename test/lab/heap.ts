/** What V8 makes of the flags that the agent sets at its start, which differs from version to version. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";

const MIB = 1024 * 1024;

/** The file as plain JavaScript, for processes of its own: flags and heap of the tests' have been at work already. */
const { code } = transformSync(readFileSync("src/system/heap.ts", "utf8"), {
  loader: "ts",
  format: "cjs",
});

/** Tests of `src/system/heap.ts` on a version of Node. */
export function testHeap(node: string): void {
  /** What a fresh process that has the file's functions says of itself, as JSON. */
  function inFreshProcess(work: string, flags: readonly string[] = []): unknown {
    return JSON.parse(execFileSync(node, [...flags, "-e", `${code}\n${work}`], { encoding: "utf8" }));
  }

  /**
   * How large the young generation is in the end, if `first` comes before work that keeps much alive. V8 collects in one thread: on a busy
   * machine its other threads come late, and the size depends on that.
   */
  function youngGeneration(first: string): number {
    const work = `
      ${first};
      const kept = [];
      for (let i = 0; i < 600_000; i++) kept.push({ i, text: "x" + i });
      const young = require("node:v8").getHeapSpaceStatistics().find((one) => one.space_name === "new_space");
      console.log(JSON.stringify(young.space_size));
    `;
    return Number(inFreshProcess(work, ["--single-threaded-gc"]));
  }

  test("the young generation stays small, which by itself it does not", () => {
    const free = youngGeneration("");
    expect(free).toBeGreaterThan(8 * MIB);
    expect(youngGeneration("keepHeapSmall()")).toBeLessThan(free / 4);
  });

  test("hot code is compiled no further until there is a long list", () => {
    const optimized = (first: string) => {
      const hot = `const hot = (n) => { let sum = 0; for (let i = 0; i < n; i++) sum += i % 7; return sum; };
        let all = 0;
        for (let i = 0; i < 2_000; i++) all += hot(2_000);`;
      // In the thread itself: on a busy machine another one may come too late.
      const args = ["--trace-opt", "--no-concurrent-recompilation", "-e", `${code}\n${first};\n${hot}`];
      return /completed compiling.*hot/.test(execFileSync(node, args, { encoding: "utf8" }));
    };
    expect(optimized("")).toBe(true);
    expect(optimized("keepHeapSmall()")).toBe(false);
    expect(optimized("keepHeapSmall(); prepareFor(1_000)")).toBe(false);
    expect(optimized("keepHeapSmall(); prepareFor(100_000)")).toBe(true);
  });

  test("garbage of a pass is collected when there is much of it, and not otherwise", () => {
    const [few, relievedOfFew, many, relievedOfMany] = inFreshProcess(`
      const used = () => require("node:v8").getHeapStatistics().used_heap_size;
      const relieve = createHeapRelief(() => {});
      const seen = [];
      for (const count of [10_000, 700_000]) {
        (() => Array.from({ length: count }, (_, i) => ({ i })))();
        seen.push(used());
        relieve();
        seen.push(used());
      }
      console.log(JSON.stringify(seen));
    `) as [number, number, number, number];
    expect(relievedOfFew).toBeGreaterThanOrEqual(few);
    expect(relievedOfMany).toBeLessThan(many - 16 * MIB);
  });

  test("what has been loaded leaves no garbage, some seconds later, and once for several calls", () => {
    const [before, after, timers] = inFreshProcess(`
      // Time passes at once.
      const { setTimeout: later } = globalThis;
      let timers = 0;
      globalThis.setTimeout = (work) => later(work, ++timers);
      const used = () => require("node:v8").getHeapStatistics().used_heap_size;
      (() => Array.from({ length: 100_000 }, (_, i) => ({ i })))();
      const before = used();
      for (let i = 0; i < 3; i++) collectSoon();
      later(() => console.log(JSON.stringify([before, used(), timers])), 100);
    `) as [number, number, number];
    expect(after).toBeLessThan(before - 2 * MIB);
    expect(timers).toBe(1);
  });
}

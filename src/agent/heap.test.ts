import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getHeapStatistics } from "node:v8";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";
import { createHeapRelief } from "./heap.ts";

const MIB = 1024 * 1024;

/** The file as plain JavaScript: flags are a process's, and those of the tests' own have been at work already. */
const { code } = transformSync(readFileSync(join(import.meta.dirname, "heap.ts"), "utf8"), {
  loader: "ts",
  format: "cjs",
});

/** How large a fresh process's young generation is in the end, if `first` comes before work that keeps much alive. */
function youngGeneration(first: string): number {
  const work = `
    ${code}
    ${first};
    const kept = [];
    for (let i = 0; i < 600_000; i++) kept.push({ i, text: "x" + i });
    const young = require("node:v8").getHeapSpaceStatistics().find((one) => one.space_name === "new_space");
    console.log(young.space_size);
  `;
  return Number(execFileSync(process.execPath, ["-e", work], { encoding: "utf8" }));
}

test("the young generation stays small, which by itself it does not", () => {
  const free = youngGeneration("");
  expect(free).toBeGreaterThan(8 * MIB);
  expect(youngGeneration("module.exports.keepHeapSmall()")).toBeLessThan(free / 4);
});

const used = () => getHeapStatistics().used_heap_size;

test("garbage of a pass is collected when there is much of it, and not otherwise", () => {
  const relieve = createHeapRelief();
  const start = used();
  relieve();
  expect(used()).toBeGreaterThanOrEqual(start - MIB);
  let garbage: unknown[] = Array.from({ length: 700_000 }, (_, i) => ({ i }));
  expect(used()).toBeGreaterThan(start + 16 * MIB);
  expect(garbage).toHaveLength(700_000);
  garbage = [];
  relieve();
  expect(used()).toBeLessThan(start + 16 * MIB + garbage.length);
});

import { expect, test } from "vitest";
import type { Script } from "../system/script.ts";
import { listSteadily, listUntil } from "./listing.ts";

const SCRIPT: Script = { file: "iptables-nft-save", args: [], purpose: "saving", deadlineMs: 1 };
const saved = (seconds: number, packets: number, ...rules: readonly string[]) =>
  [`# Generated at ${seconds}`, `:POSTROUTING ACCEPT [${packets}:${packets * 60}]`, ...rules, "COMMIT"].join(
    "\n",
  );

/** A tool that answers with these listings, the last one for ever. */
function tool(...listings: readonly string[]) {
  let runs = 0;
  const run = async () => ({
    exitCode: 0,
    stdout: listings[Math.min(runs++, listings.length - 1)] ?? "",
    stderr: "",
  });
  return { run, runs: () => runs };
}

test.each([
  ["the same twice", [saved(1, 1, "a", "b")], 2, saved(1, 1, "a", "b")],
  ["another time and other counters", [saved(1, 1, "a"), saved(2, 9, "a")], 2, saved(2, 9, "a")],
  ["one that ended early", [saved(1, 1, "a"), saved(1, 1, "a", "b")], 3, saved(1, 1, "a", "b")],
  ["two that ended early, at different rules", ["a", "a b", "a b c"], 4, "a b c"],
  ["never the same", ["1", "2", "3", "4", "5", "6"], 5, "5"],
])("a listing of the nft variant is made until it comes twice: %s", async (_, listings, runs, expected) => {
  const fake = tool(...listings);
  expect(await listSteadily(SCRIPT, "nft", fake.run)).toBe(expected);
  expect(fake.runs()).toBe(runs);
});

test("the legacy variant reads a table at once", async () => {
  const fake = tool("1", "2");
  expect(await listSteadily(SCRIPT, "legacy", fake.run)).toBe("1");
});

test("the attempts are bounded, and a first sure one is enough", async () => {
  let listed = 0;
  const list = async () => ++listed;
  expect(await listUntil(list, () => true, 3)).toBe(1);
  expect(await listUntil(list, () => false, 3)).toBe(4);
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { counted, groupedDigits } from "./plural.ts";

test.each([
  [0, "CIDR", "0 CIDRs"],
  [1, "CIDR", "1 CIDR"],
  [2, "difference", "2 differences"],
  [1, "address", "1 address"],
  ["65,536", "address", "65,536 addresses"],
  [0, "entry", "0 entries"],
  [1, "more range", "1 more range"],
  [12, "day", "12 days"],
  [11, "step", "11 steps"],
])("%s %s", (count, noun, text) => {
  expect(counted(count, noun)).toBe(text);
});

test("digits in groups of three", () => {
  expect([0, 999, 1_000, 1_234_567, 2n ** 64n, "1000"].map(groupedDigits)).toEqual([
    "0",
    "999",
    "1,000",
    "1,234,567",
    "18,446,744,073,709,551,616",
    "1,000",
  ]);
});

test("no other file makes a plural by itself", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join("src", name));
  const makesPlural = (path: string) => /\? "" : "(?:s|es)"/.test(readFileSync(path, "utf8"));
  expect(sources.filter(makesPlural)).toEqual([]);
});

import { expect, test } from "vitest";
import { type Problem, renderProblem } from "./problem.ts";

const problem: Problem = { code: "cidr", path: "/etc/x", message: "is no CIDR" };

test.each<[string, Partial<Problem>, string]>([
  ["no place", {}, "/etc/x: is no CIDR"],
  ["a place", { line: 3, column: 5 }, "/etc/x:3:5: is no CIDR"],
  ["a key", { key: "nonMasqueradeCIDRs[3]" }, "/etc/x: nonMasqueradeCIDRs[3]: is no CIDR"],
  ["both", { line: 3, column: 5, key: "cidrLimit" }, "/etc/x:3:5: cidrLimit: is no CIDR"],
])("a problem with %s", (_name, more, line) => {
  expect(renderProblem({ ...problem, ...more })).toBe(line);
});

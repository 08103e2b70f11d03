import fc from "fast-check";
import { expect, test } from "vitest";
import { countDrift, type Drift, diffRules, renderDrift } from "./drift.ts";

test.each([
  ["equal", "abc", "abc", []],
  ["both empty", "", "", []],
  ["flushed", "ab", "", ["rule 1 of X was missing [a]", "rule 2 of X was missing [b]"]],
  ["foreign rule inside", "abc", "axbc", ["rule 2 of X was unexpected [x]"]],
  ["foreign rule behind", "ab", "abx", ["rule 3 of X was unexpected [x]"]],
  ["rule removed", "abc", "ac", ["rule 2 of X was missing [b]"]],
  ["rule changed", "abc", "axc", ["rule 2 of X was [x] instead of [b]"]],
  ["one of equal rules removed", "aab", "ab", ["rule 2 of X was missing [a]"]],
  ["swapped", "abc", "bac", ["rule 1 of X was [b] instead of [a]", "rule 2 of X was [a] instead of [b]"]],
])("%s", (_name, expected, actual, lines) => {
  expect(diffRules("X", [...expected], [...actual]).map(renderDrift)).toEqual(lines);
});

test("what is missing as a whole has no rule to show", () => {
  expect(renderDrift({ kind: "missing", where: "chain X" })).toBe("chain X was missing");
});

/** The actual list with the drift put right; places count rules of both lists, so rules are taken out from the end. */
function heal(actual: readonly string[], drift: readonly Drift[]): string[] {
  const healed = [...actual];
  const extra = drift.filter(({ kind }) => kind === "extra").reverse();
  const others = drift.filter(({ kind }) => kind !== "extra");
  for (const { kind, where, expected } of [...extra, ...others]) {
    const at = Number(/^rule (\d+) /.exec(where)?.[1]) - 1;
    const gone = kind === "missing" ? 0 : 1;
    healed.splice(at, gone, ...(expected === undefined ? [] : [expected]));
  }
  return healed;
}

test("there is drift if and only if the lists differ, and acting on it makes them equal", () => {
  const rules = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 8 });
  fc.assert(
    fc.property(rules, rules, (expected, actual) => {
      const drift = diffRules("X", expected, actual);
      expect(drift.length === 0).toBe(expected.join() === actual.join());
      expect(heal(actual, drift)).toEqual(expected);
    }),
  );
});

test("of a long list the first are told one by one, and the others counted by their kind", () => {
  const list = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`);
  const drift = diffRules("X", list("a", 50_000), list("b", 50_100));
  expect(drift.slice(-3).map(renderDrift)).toEqual([
    "rule 20 of X was [b19] instead of [a19]",
    "49980 more rules of X were changed",
    "100 more rules of X were unexpected",
  ]);
  const short = diffRules("X", list("a", 21), []);
  expect(short.slice(-1).map(renderDrift)).toEqual(["1 more rule of X was missing"]);
});

test("whatever lists differ, as many differences are counted as pairs, few are told, and kinds are those of all", () => {
  const list = fc.array(fc.constantFrom("a", "b"), { maxLength: 80, size: "max" });
  fc.assert(
    fc.property(list, list, (expected, actual) => {
      const drift = diffRules("X", ["-", ...expected, "."], ["+", ...actual, ","]);
      expect(countDrift(drift)).toBe(Math.max(expected.length, actual.length) + 2);
      expect(drift.length).toBeLessThan(23);
      const changed = countDrift(drift.filter(({ kind }) => kind === "changed"));
      expect(changed).toBe(Math.min(expected.length, actual.length) + 2);
    }),
  );
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { editDistance, nearest } from "./near.ts";

test("edit distance is a metric", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      expect(editDistance(a, b) === 0).toBe(a === b);
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
    }),
  );
});

test.each([
  ["kitten", "sitting", 3],
  ["stauts", "status", 1],
  ["ca", "abc", 2],
  ["", "abc", 3],
  ["abc", "abc", 0],
])("from %s to %s it is %i", (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
});

test("every name is found again after one slip: a letter less, more, another, exchanged, or in another case", () => {
  const names = ["explain", "validate", "status", "doctor", "render"];
  const slips = fc.constantFrom<(name: string, at: number) => string>(
    (name, at) => name.slice(0, at) + name.slice(at + 1),
    (name, at) => `${name.slice(0, at)}x${name.slice(at)}`,
    (name, at) => `${name.slice(0, at)}x${name.slice(at + 1)}`,
    (name, at) => name.slice(0, at) + (name[at + 1] ?? "") + (name[at] ?? "") + name.slice(at + 2),
    (name) => ` ${name.toUpperCase()}\n`,
  );
  fc.assert(
    fc.property(fc.constantFrom(...names), slips, fc.nat(4), (name, slip, at) => {
      expect(nearest(slip(name, at), names)).toBe(name);
    }),
  );
});

test("a text that is not a slip matches no name", () => {
  for (const word of ["true", "off", "foo", "-", "10.1.2.3", "x".repeat(100_000)])
    expect(nearest(word, ["run", "diff", "status"])).toBeUndefined();
  expect(nearest("x", [])).toBeUndefined();
});

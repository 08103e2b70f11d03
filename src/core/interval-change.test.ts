import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  changeIntervals,
  type Interval,
  independentChanges,
  meetIntervals,
  subtractIntervals,
  uniteIntervals,
} from "./intervals.ts";

/** Intervals from pairs of numbers. */
const intervals = (...pairs: [number, number][]): Interval[] =>
  pairs.map(([first, last]) => ({ first: BigInt(first), last: BigInt(last) }));

/** Sorted disjoint intervals below 60, some of them adjacent. */
const lists = fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 16 }).map((numbers) => {
  const bounds = numbers.sort((a, b) => a - b);
  return intervals(
    ...Array.from({ length: bounds.length >> 1 }, (_, i): [number, number] => [
      bounds[2 * i] as number,
      bounds[2 * i + 1] as number,
    ]),
  );
});

const members = (list: readonly Interval[]): Set<number> =>
  new Set(
    Array.from({ length: 60 }, (_, i) => i).filter((i) =>
      list.some(({ first, last }) => first <= i && i <= last),
    ),
  );

test("the meet and the union of lists are those of their sets of addresses", () => {
  fc.assert(
    fc.property(lists, lists, (a, b) => {
      const [one, other] = [members(a), members(b)];
      expect(members(meetIntervals(a, b))).toEqual(new Set([...one].filter((address) => other.has(address))));
      const united = uniteIntervals(a, b);
      expect(members(united)).toEqual(new Set([...one, ...other].sort((x, y) => x - y)));
      // Sorted, disjoint and non-adjacent.
      for (const [i, { first }] of united.slice(1).entries())
        expect(first).toBeGreaterThan((united[i]?.last ?? 0n) + 1n);
    }),
  );
});

describe("subtractIntervals", () => {
  test.each([
    ["nothing to remove", intervals([1, 5]), intervals(), intervals([1, 5])],
    ["a hole", intervals([1, 9]), intervals([3, 4]), intervals([1, 2], [5, 9])],
    ["both ends", intervals([3, 6]), intervals([1, 3], [6, 8]), intervals([4, 5])],
    ["one over two", intervals([1, 4], [6, 9]), intervals([3, 7]), intervals([1, 2], [8, 9])],
    ["everything", intervals([3, 6]), intervals([0, 9]), intervals()],
  ])("%s", (_name, from, removed, expected) => {
    expect(subtractIntervals(from, removed)).toEqual(expected);
  });

  test("is the difference of the sets of addresses", () => {
    fc.assert(
      fc.property(lists, lists, (a, b) => {
        const expected = [...members(a)].filter((i) => !members(b).has(i));
        expect([...members(subtractIntervals(a, b))]).toEqual(expected);
      }),
    );
  });
});

describe("changeIntervals", () => {
  test("applied to the first list, it gives the second", () => {
    fc.assert(
      fc.property(lists, lists, (before, after) => {
        const { removed, added } = changeIntervals(before, after);
        const has = (list: readonly Interval[], one: Interval) =>
          list.some(({ first, last }) => first === one.first && last === one.last);
        const kept = before.filter((one) => !has(removed, one));
        expect(kept.every((one) => has(after, one))).toBe(true);
        const result = [...kept, ...added].sort((a, b) => (a.first < b.first ? -1 : 1));
        expect(result).toEqual(after);
      }),
    );
  });
});

describe("independentChanges", () => {
  test("a wide interval for many smaller ones is one part, unrelated ones are parts of their own", () => {
    const change = {
      removed: intervals([0, 9], [20, 21]),
      added: intervals([1, 2], [4, 5], [9, 12], [30, 31]),
    };
    expect(independentChanges(change)).toEqual([
      { removed: intervals([0, 9]), added: intervals([1, 2], [4, 5], [9, 12]) },
      { removed: intervals([20, 21]), added: [] },
      { removed: [], added: intervals([30, 31]) },
    ]);
  });

  test("parts share no address, and together are the change", () => {
    fc.assert(
      fc.property(lists, lists, (before, after) => {
        const change = changeIntervals(before, after);
        const parts = independentChanges(change);
        expect(parts.flatMap((part) => part.removed)).toEqual(change.removed);
        expect(parts.flatMap((part) => part.added)).toEqual(change.added);
        const touched = parts.map((part) => members([...part.removed, ...part.added]));
        for (const [i, one] of touched.entries()) {
          for (const other of touched.slice(i + 1))
            expect([...one].some((address) => other.has(address))).toBe(false);
        }
      }),
    );
  });
});

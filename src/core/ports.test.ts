import fc from "fast-check";
import { expect, test } from "vitest";
import { countPorts, formatRange, parsePorts, probabilitiesOf, rangeSize } from "./ports.ts";

test.each([
  ["", []],
  ["1024", ["1024"]],
  ["1024-29999,32768-65535", ["1024-29999", "32768-65535"]],
  ["5-5", ["5"]],
  ["+5", ["5"]],
  ["0-70000", ["0-70000"]],
  ["007-0010", ["7-10"]],
  ["1,1,1-2", ["1", "1", "1-2"]],
  ["9223372036854775807", ["9223372036854775807"]],
])("%j is %j", (text, ranges) => {
  const parsed = parsePorts(text);
  expect(parsed.ok && parsed.ranges.map(formatRange)).toEqual(ranges);
});

test.each([
  ["", 0],
  ["1024", 1],
  ["1024-65535", 64_512],
  ["1-10,5-20", 20],
  ["5-20,1-10,7", 20],
  ["1-10,1-10", 10],
  ["1-2,9-10", 4],
])("%j has %i ports", (text, count) => {
  const parsed = parsePorts(text);
  expect(parsed.ok && countPorts(parsed.ranges)).toBe(count);
});

test.each([
  ["x", 'strconv.Atoi: parsing "x": invalid syntax'],
  [",", 'strconv.Atoi: parsing "": invalid syntax'],
  ["1,", 'strconv.Atoi: parsing "": invalid syntax'],
  ["-5", 'strconv.Atoi: parsing "": invalid syntax'],
  ["5-", 'strconv.Atoi: parsing "": invalid syntax'],
  ["1 - 2", 'strconv.Atoi: parsing "1 ": invalid syntax'],
  ["0x10", 'strconv.Atoi: parsing "0x10": invalid syntax'],
  ["1_000", 'strconv.Atoi: parsing "1_000": invalid syntax'],
  ["1-2-3", 'invalid interval "1-2-3"'],
  ["2-1", 'first is greater than last in "2-1"'],
  ["9223372036854775808", 'strconv.Atoi: parsing "9223372036854775808": value out of range'],
])("%j is refused: %s", (text, message) => {
  expect(parsePorts(text)).toEqual({ ok: false, message });
});

test("every port is equally likely when the rules are walked in order", () => {
  const range = fc
    .tuple(fc.nat({ max: 65535 }), fc.nat({ max: 65535 }))
    .map(([a, b]) => ({ first: BigInt(Math.min(a, b)), last: BigInt(Math.max(a, b)) }));
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 8 }), (ranges) => {
      const sizes = ranges.map(({ first, last }) => Number(last - first) + 1);
      const all = sizes.reduce((sum, size) => sum + size, 0);
      const probabilities = probabilitiesOf(ranges.map(rangeSize));
      expect(probabilities).toHaveLength(ranges.length - 1);
      let left = 1;
      for (const [i, size] of sizes.entries()) {
        const share = left * (probabilities[i] ?? 1);
        expect(share / size).toBeCloseTo(1 / all, 10);
        left -= share;
      }
    }),
  );
});

test("no ranges have no shares", () => {
  expect(probabilitiesOf([])).toEqual([]);
});

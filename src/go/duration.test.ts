import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDuration, toMilliseconds } from "./duration.ts";

test.each([
  ["0", 0n],
  ["-0", 0n],
  ["+0", 0n],
  ["0s", 0n],
  ["60s", 60_000_000_000n],
  ["+5s", 5_000_000_000n],
  ["-1.5s", -1_500_000_000n],
  ["1h2m3.5s", 3_723_500_000_000n],
  ["1m1h", 3_660_000_000_000n],
  ["1s1s", 2_000_000_000n],
  [".5s", 500_000_000n],
  ["5.s", 5_000_000_000n],
  ["2us", 2_000n],
  ["2\u00b5s", 2_000n],
  ["2\u03bcs", 2_000n],
  ["0.9ns", 0n],
  ["1.999ns", 1n],
  ["007m", 420_000_000_000n],
  ["0000000000000000000000001s", 1_000_000_000n],
  ["0.3333333333333333333333333333h", 1_200_000_000_000n],
  ["9223372036854775807ns", 9_223_372_036_854_775_807n],
  ["-9223372036854775808ns", -9_223_372_036_854_775_808n],
  ["2562047h47m16.854775807s", 9_223_372_036_854_775_807n],
])("%j is %s ns", (text, nanoseconds) => {
  expect(parseDuration(text)).toEqual({ ok: true, nanoseconds });
});

test.each([
  ["", 'invalid duration ""'],
  ["-", 'invalid duration "-"'],
  ["+", 'invalid duration "+"'],
  ["3", 'missing unit in duration "3"'],
  ["00", 'missing unit in duration "00"'],
  ["1.5", 'missing unit in duration "1.5"'],
  ["1m30", 'missing unit in duration "1m30"'],
  ["s", 'invalid duration "s"'],
  [".", 'invalid duration "."'],
  [".s", 'invalid duration ".s"'],
  ["--1s", 'invalid duration "--1s"'],
  ["1s-1s", 'unknown unit "s-" in duration "1s-1s"'],
  ["1 s", 'unknown unit " s" in duration "1 s"'],
  ["1s ", 'unknown unit "s " in duration "1s "'],
  [" 1s", 'invalid duration " 1s"'],
  ["1S", 'unknown unit "S" in duration "1S"'],
  ["1d", 'unknown unit "d" in duration "1d"'],
  ["1..5s", 'missing unit in duration "1..5s"'],
  ["1e3s", 'unknown unit "e" in duration "1e3s"'],
  ["9223372036854775808ns", 'invalid duration "9223372036854775808ns"'],
  ["-9223372036854775809ns", 'invalid duration "-9223372036854775809ns"'],
  ["99999999999999999999x", 'invalid duration "99999999999999999999x"'],
  ["3000000h", 'invalid duration "3000000h"'],
  ["2562047h47m16.854775808s", 'invalid duration "2562047h47m16.854775808s"'],
])("%j is rejected: %s", (text, message) => {
  expect(parseDuration(text)).toEqual({ ok: false, message: `time: ${message}` });
});

describe("any sum of terms", () => {
  const SCALES = {
    ns: 1n,
    us: 1_000n,
    ms: 1_000_000n,
    s: 1_000_000_000n,
    m: 60_000_000_000n,
    h: 3_600_000_000_000n,
  };
  const term = fc.record({
    whole: fc.nat({ max: 9999 }),
    fraction: fc.option(fc.stringMatching(/^\d{1,9}$/)),
    unit: fc.constantFrom(...(Object.keys(SCALES) as (keyof typeof SCALES)[])),
  });

  test("is the sum of its terms, each cut to whole nanoseconds", () => {
    fc.assert(
      fc.property(
        fc.array(term, { minLength: 1, maxLength: 5 }),
        fc.constantFrom("", "+", "-"),
        (terms, sign) => {
          const text = terms.map(({ whole, fraction, unit }) =>
            fraction === null ? `${whole}${unit}` : `${whole}.${fraction}${unit}`,
          );
          const exact = terms.reduce(
            (sum, { whole, fraction, unit }) =>
              sum +
              BigInt(whole) * SCALES[unit] +
              (BigInt(fraction ?? 0) * SCALES[unit]) / 10n ** BigInt(fraction?.length ?? 0),
            0n,
          );
          const parsed = parseDuration(`${sign}${text.join("")}`);
          if (!parsed.ok) throw new Error(parsed.message);
          // Go computes fractions in float64: each may be a nanosecond short of the exact value.
          const short = exact - (sign === "-" ? -parsed.nanoseconds : parsed.nanoseconds);
          expect(short >= 0n && short <= BigInt(terms.length)).toBe(true);
        },
      ),
    );
  });
});

test("milliseconds keep fractions and the sign", () => {
  expect([toMilliseconds(1_500_000n), toMilliseconds(-2_000_000n), toMilliseconds(1n)]).toEqual([
    1.5, -2, 0.000001,
  ]);
});

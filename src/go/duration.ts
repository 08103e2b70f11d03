/**
 * Durations as Go's `time.ParseDuration` reads them: `1h2m3.5s`, `-1.5s`, `2us`, `0`.
 * A signed count of nanoseconds in 64 bits; the error texts are Go's.
 */

import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import { goQuote } from "./quote.ts";

/** Nanoseconds, or Go's message about the text. */
export type ParsedDuration =
  | { readonly ok: true; readonly nanoseconds: bigint }
  | { readonly ok: false; readonly message: string };

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\u00b5s", 1_000n], // micro sign
  ["\u03bcs", 1_000n], // Greek mu
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);

const LIMIT = 1n << 63n;

// One number with its unit: as in Go, everything up to the next number.
const TERM = /0*(\d*)(?:\.(\d*))?([^.0-9]*)/y;

/** Nanoseconds of a Go duration such as `1m30s`. */
export function parseDuration(text: string): ParsedDuration {
  const quoted = goQuote(cut(text, VALUE_CHARACTERS));
  const failure = (what: string): ParsedDuration => ({ ok: false, message: `time: ${what}` });
  const negative = text.startsWith("-");
  const start = negative || text.startsWith("+") ? 1 : 0;
  if (text.length === start) return failure(`invalid duration ${quoted}`);
  if (text.slice(start) === "0") return { ok: true, nanoseconds: 0n };
  let total = 0n;
  for (TERM.lastIndex = start; TERM.lastIndex < text.length; ) {
    const from = TERM.lastIndex;
    const [term = "", whole = "", fraction = "", unit = ""] = TERM.exec(text) ?? [];
    if (!/\d/.test(term.slice(0, term.length - unit.length)) || whole.length > 19 || BigInt(whole) > LIMIT)
      return failure(`invalid duration ${quoted}`);
    if (unit === "") return failure(`missing unit in duration ${quoted}`);
    const scale = UNITS.get(unit);
    if (scale === undefined)
      return failure(`unknown unit ${goQuote(cut(unit, VALUE_CHARACTERS))} in duration ${quoted}`);
    TERM.lastIndex = from + term.length;
    total += BigInt(whole) * scale + fractionOf(fraction, scale);
    if (total > LIMIT) return failure(`invalid duration ${quoted}`);
  }
  if (!negative && total === LIMIT) return failure(`invalid duration ${quoted}`);
  return { ok: true, nanoseconds: negative ? -total : total };
}

/** `0.digits` of a unit in whole nanoseconds, computed in float64 from the digits that fit 63 bits, as Go does. */
function fractionOf(digits: string, scale: bigint): bigint {
  let value = 0n;
  let divisor = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (next > LIMIT) break;
    value = next;
    divisor *= 10;
  }
  return BigInt(Math.trunc(Number(value) * (Number(scale) / divisor)));
}

/** Milliseconds, possibly a fraction or negative. */
export function toMilliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds) / 1e6;
}

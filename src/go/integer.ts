/**
 * Go's strconv.ParseInt and ParseUint: stricter than Number() (no blanks, no
 * fractions) and looser than a regular expression (`0x10`, `1_000` in base 0).
 */

/** The texts of strconv's two errors. */
type IntegerFault = "invalid syntax" | "value out of range";

/** A whole number, or Go's reason why the text is not one. */
export type Integer =
  | { readonly ok: true; readonly value: bigint }
  | { readonly ok: false; readonly fault: IntegerFault };

/** 10, or 0: the prefix decides (`0x`, `0o`, `0b`, `0`), and underscores may separate digits. */
export type IntegerBase = 0 | 10;

const PREFIXES: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16 };

/** strconv.ParseInt(text, base, bits). */
export function parseGoInt(text: string, base: IntegerBase, bits: number): Integer {
  const sign = text.startsWith("-") ? -1n : 1n;
  const parsed = parseGoUint(/^[+-]/.test(text) ? text.slice(1) : text, base, bits);
  if (!parsed.ok) return parsed;
  const value = sign * parsed.value;
  return BigInt.asIntN(bits, value) === value ? { ok: true, value } : fault("value out of range");
}

/** strconv.ParseUint(text, base, bits). */
export function parseGoUint(text: string, base: IntegerBase, bits: number): Integer {
  const { radix, digits } = base === 0 ? prefixed(text) : { radix: 10, digits: text };
  const limit = 1n << BigInt(bits);
  let value = 0n;
  for (const char of digits) {
    if (char === "_" && base === 0) continue;
    const digit = /^[0-9a-z]$/i.test(char) ? Number.parseInt(char, 36) : radix;
    if (digit >= radix) return fault("invalid syntax");
    value = value * BigInt(radix) + BigInt(digit);
    // As in Go, before the remaining digits: too long wins over a bad digit after it.
    if (value >= limit) return fault("value out of range");
  }
  return text === "" || /^_|__|_$/.test(text) ? fault("invalid syntax") : { ok: true, value };
}

function prefixed(text: string): { radix: number; digits: string } {
  if (!text.startsWith("0")) return { radix: 10, digits: text };
  const radix = text.length < 3 ? undefined : PREFIXES[(text[1] ?? "").toLowerCase()];
  return radix === undefined ? { radix: 8, digits: text.slice(1) } : { radix, digits: text.slice(2) };
}

function fault(reason: IntegerFault): Integer {
  return { ok: false, fault: reason };
}

import { describe, expect, test } from "vitest";
import { type IntegerBase, parseGoInt, parseGoUint } from "./integer.ts";

const SYNTAX = "invalid syntax";
const RANGE = "value out of range";

function outcome(parsed: ReturnType<typeof parseGoInt>): bigint | string {
  return parsed.ok ? parsed.value : parsed.fault;
}

// The expectations were printed by Go's strconv.
describe("parseGoInt", () => {
  test.each<[string, IntegerBase, number, bigint | string]>([
    ["0", 10, 32, 0n],
    ["-0", 10, 32, 0n],
    ["+4", 10, 32, 4n],
    ["007", 10, 32, 7n],
    ["2147483647", 10, 32, 2147483647n],
    ["-2147483648", 10, 32, -2147483648n],
    ["2147483648", 10, 32, RANGE],
    ["-2147483649", 10, 32, RANGE],
    ["99999999999x", 10, 32, RANGE],
    ["9x999999999", 10, 32, SYNTAX],
    ["", 10, 32, SYNTAX],
    ["-", 10, 32, SYNTAX],
    ["+-1", 10, 32, SYNTAX],
    ["0x4", 10, 32, SYNTAX],
    ["1_000", 10, 32, SYNTAX],
    ["1.5", 10, 32, SYNTAX],
    [" 1", 10, 32, SYNTAX],
    ["١", 10, 32, SYNTAX],
    ["9223372036854775807", 10, 64, 9223372036854775807n],
    ["9223372036854775808", 10, 64, RANGE],
    ["-0x10", 0, 64, -16n],
    ["1_000", 0, 64, 1000n],
  ])("%j base %d, %d bits", (text, base, bits, expected) => {
    expect(outcome(parseGoInt(text, base, bits))).toBe(expected);
  });
});

describe("parseGoUint, base 0", () => {
  test.each<[string, bigint | string]>([
    ["1800", 1800n],
    ["0", 0n],
    ["00", 0n],
    ["010", 8n],
    ["08", SYNTAX],
    ["0o17", 15n],
    ["0B101", 5n],
    ["0xFf", 255n],
    ["0x", SYNTAX],
    ["0xg", SYNTAX],
    ["0x_1", 1n],
    ["0_7", 7n],
    ["_1", SYNTAX],
    ["1__0", SYNTAX],
    ["1_", SYNTAX],
    ["_", SYNTAX],
    ["-1", SYNTAX],
    ["+1", SYNTAX],
    ["18446744073709551615", 18446744073709551615n],
    ["18446744073709551616", RANGE],
  ])("%j", (text, expected) => {
    expect(outcome(parseGoUint(text, 0, 64))).toBe(expected);
  });
});

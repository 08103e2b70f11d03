import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

const utf16 = (text: string, bigEndian = false) => {
  const bytes = Buffer.from(`\uFEFF${text}`, "utf16le");
  return bigEndian ? bytes.swap16() : bytes;
};
const bytes = (...list: (string | number)[]) =>
  new Uint8Array(list.flatMap((item) => (typeof item === "number" ? [item] : [...Buffer.from(item)])));

test.each([
  ["UTF-16, little endian", utf16("a: [\u00e9, \u{1F600}]\n"), '{"a":["\u00e9","\u{1F600}"]}'],
  ["UTF-16, big endian", utf16("a: [\u00e9, \u{1F600}]\n", true), '{"a":["\u00e9","\u{1F600}"]}'],
  ["a UTF-8 byte order mark", bytes("\uFEFFa: b\n"), '{"a":"b"}'],
  ["a mark and nothing else", bytes("\uFEFF"), "null"],
  ["nothing", bytes(), "null"],
  [
    "all that is allowed",
    bytes("a\t\u0085\u00a0\ud7ff\ue000\ufffd\u{10FFFF}"),
    '"a \u00a0\ud7ff\ue000\ufffd\u{10FFFF}"',
  ],
])("%s", (_, input, expected) => expect(outcome(input)).toBe(expected));

describe("bad bytes", () => {
  test.each([
    [bytes("a: b\nc: ", 0xff), "! 2:4 encoding yaml: invalid leading UTF-8 octet"],
    [bytes("a: ", 0xc3, "b"), "! 1:4 encoding yaml: invalid trailing UTF-8 octet"],
    [bytes("a: ", 0xe2, 0x82), "! 1:4 encoding yaml: incomplete UTF-8 octet sequence"],
    [bytes("a: ", 0xc0, 0xaf), "! 1:4 encoding yaml: invalid length of a UTF-8 sequence"],
    [bytes("a: ", 0xed, 0xa0, 0x80), "! 1:4 encoding yaml: invalid Unicode character"],
    [bytes("a: ", 0xf4, 0x90, 0x80, 0x80), "! 1:4 encoding yaml: invalid Unicode character"],
    [bytes("a: \u0007"), "! 1:4 encoding yaml: control characters are not allowed"],
    [bytes("a: \u007f"), "! 1:4 encoding yaml: control characters are not allowed"],
    [bytes("a: \u0080"), "! 1:4 encoding yaml: control characters are not allowed"],
    [bytes("a: \ufffe"), "! 1:4 encoding yaml: control characters are not allowed"],
    [utf16("ab").subarray(0, 5), "! 1:2 encoding yaml: incomplete UTF-16 character"],
    [utf16("a\ude00"), "! 1:2 encoding yaml: unexpected low surrogate area"],
    [utf16("a\ud83db"), "! 1:2 encoding yaml: expected low surrogate area"],
    [utf16("a\ud83d"), "! 1:2 encoding yaml: incomplete UTF-16 surrogate pair"],
  ])("%#: %s", (input, expected) => expect(outcome(input)).toBe(expected));

  test("an earlier syntax error goes first only from an earlier portion of 512 bytes", () => {
    expect(outcome(bytes("@\n", 0xff))).toMatch(/^! 2:1 encoding/);
    expect(outcome(bytes(`@${" ".repeat(511)}`, 0xff))).toMatch(/^! 1:1 yaml: found character/);
  });

  test("behind the first document they are seen only in the same portion", () => {
    expect(outcome(bytes("a: b\n---\n", 0xff))).toMatch(/encoding/);
    expect(outcome(bytes(`a: b\n---\n${"x".repeat(503)}`, 0xff))).toBe('{"a":"b"}');
    expect(outcome(utf16(`a: b\n---\n${"x".repeat(240)}\u0001`))).toMatch(/encoding/);
    expect(outcome(utf16(`a: b\n---\n${"x".repeat(250)}\u0001`))).toBe('{"a":"b"}');
  });
});

test("a mark at the head of libyaml's buffer makes it skip the first character of lines", () => {
  expect(outcome("\uFEFF\uFEFFab: c\nde: f\n")).toBe('{"ab":"c","e":"f"}');
});

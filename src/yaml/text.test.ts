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
    ["a byte that begins nothing", bytes("a: b\nc: ", 0xff), "! 2:4 encoding yaml: not valid UTF-8"],
    ["half a character", bytes("a: ", 0xc3, "b"), "! 1:4 encoding yaml: not valid UTF-8"],
    ["half a character at the end", bytes("a: ", 0xe2, 0x82), "! 1:4 encoding yaml: not valid UTF-8"],
    ["too many bytes for a character", bytes("a: ", 0xc0, 0xaf), "! 1:4 encoding yaml: not valid UTF-8"],
    ["a surrogate", bytes("a: ", 0xed, 0xa0, 0x80), "! 1:4 encoding yaml: not valid UTF-8"],
    ["beyond U+10FFFF", bytes("a: ", 0xf4, 0x90, 0x80, 0x80), "! 1:4 encoding yaml: not valid UTF-8"],
    ["behind a U+FFFD that is there", bytes("\uFFFD\na: ", 0xff), "! 2:4 encoding yaml: not valid UTF-8"],
    ["BEL", bytes("a: \u0007"), "! 1:4 encoding yaml: control characters are not allowed"],
    ["DEL", bytes("a: \u007f"), "! 1:4 encoding yaml: control characters are not allowed"],
    ["a C1 control", bytes("a: \u0080"), "! 1:4 encoding yaml: control characters are not allowed"],
    ["U+FFFE", bytes("a: \ufffe"), "! 1:4 encoding yaml: control characters are not allowed"],
    ["half a unit of UTF-16", utf16("ab").subarray(0, 5), "! 1:2 encoding yaml: not valid UTF-16LE"],
    ["a low surrogate", utf16("a\ude00"), "! 1:2 encoding yaml: not valid UTF-16LE"],
    ["a high surrogate", utf16("a\n\ud83db", true), "! 2:1 encoding yaml: not valid UTF-16BE"],
    ["a high surrogate at the end", utf16("a\ud83d"), "! 1:2 encoding yaml: not valid UTF-16LE"],
  ])("%s", (_, input, expected) => expect(outcome(input)).toBe(expected));

  test("they go before an error of syntax, wherever they are, and count behind the first document, too", () => {
    expect(outcome(bytes(`@${" ".repeat(511)}`, 0xff))).toBe("! 1:513 encoding yaml: not valid UTF-8");
    expect(outcome(bytes(`a: b\n---\n${"x".repeat(5_000)}`, 0xff))).toBe(
      "! 3:5001 encoding yaml: not valid UTF-8",
    );
    expect(outcome(utf16(`a: b\n---\n${"x".repeat(5_000)}\u0001`))).toMatch(
      /^! 3:5001 encoding yaml: control/,
    );
  });
});

test("a second byte order mark is text", () => {
  expect(outcome("\uFEFF\uFEFFab: c\nde: f\n")).toBe('{"de":"f","\uFEFFab":"c"}');
  expect(outcome("a: b\n\uFEFFc: d\n")).toBe('{"a":"b","\uFEFFc":"d"}');
});

import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

const bytes = (...list: (string | number)[]) =>
  new Uint8Array(list.flatMap((item) => (typeof item === "number" ? [item] : [...Buffer.from(item)])));

describe("what encoding/json accepts", () => {
  test.each([
    ["{}", "{}"],
    [' {\r\n\t"a" : [ ] } ', '{"a":[]}'],
    ['{"a":1,"a":[true,false,null],"A":{}}', '{"a":1,"a":[true,false,null],"A":{}}'],
    // Numbers stay as written.
    [
      '{"a":[-0,1.50,1E5,0e-0,1e+21,9223372036854775808]}',
      '{"a":[-0,1.50,1E5,0e-0,1e+21,9223372036854775808]}',
    ],
    ['{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"}', '{"a":"\\"\\\\/\\b\\f\\n\\r\\tA"}'],
    // Surrogates: a pair, then a high, a low, and a high before an ordinary character.
    ['{"a":"\\ud83d\\ude00"}', '{"a":"\u{1F600}"}'],
    [
      '{"a":"\\ud83dx\\ude00\\ud83d\\u0041\\ud83d\\ud83d\\ude00"}',
      '{"a":"\uFFFDx\uFFFD\uFFFDA\uFFFD\u{1F600}"}',
    ],
    ['{"\u00e9":"\u{1F600}\u2028\u007f"}', '{"\u00e9":"\u{1F600}\u2028\u007f"}'],
  ])("%j", (input, expected) => expect(outcome(input)).toBe(expected));

  test("bytes that are not UTF-8 become U+FFFD, one for each sequence", () => {
    expect(outcome(bytes('{"', 0xff, '":"', 0xe2, 0x82, "x", 0xed, 0xa0, 0x80, 0xc3, 0xa9, '"}'))).toBe(
      '{"\uFFFD":"\uFFFDx\uFFFD\uFFFD\uFFFD\u00e9"}',
    );
  });
});

describe("what encoding/json refuses", () => {
  test.each([
    ["{", "! 1:2 unexpected end of JSON input"],
    ['{"a', "! 1:4 unexpected end of JSON input"],
    ['{"a"', "! 1:5 unexpected end of JSON input"],
    ['{"a":[1', "! 1:8 unexpected end of JSON input"],
    ['{"a":[1,', "! 1:9 unexpected end of JSON input"],
    // An incomplete literal meets the end as if it were a space.
    ['{"a":-', "! 1:7 invalid character ' ' in numeric literal"],
    ['{"a":tr', "! 1:8 invalid character ' ' in literal true (expecting 'u')"],
    ['{"a":"\\', "! 1:8 invalid character ' ' in string escape code"],
    ['{"a":"\\u12', "! 1:11 invalid character ' ' in \\u hexadecimal character escape"],
    ["{,}", "! 1:2 invalid character ',' looking for beginning of object key string"],
    ["{a:1}", "! 1:2 invalid character 'a' looking for beginning of object key string"],
    ["{\n// c\n}", "! 2:1 invalid character '/' looking for beginning of object key string"],
    ['{"a":1,}', "! 1:8 invalid character '}' looking for beginning of object key string"],
    ['{"a" 1}', "! 1:6 invalid character '1' after object key"],
    ['{"a":}', "! 1:6 invalid character '}' looking for beginning of value"],
    ['{"a":True}', "! 1:6 invalid character 'T' looking for beginning of value"],
    ['{"a":+3}', "! 1:6 invalid character '+' looking for beginning of value"],
    ['{"a":.5}', "! 1:6 invalid character '.' looking for beginning of value"],
    ['{"a":0x3}', "! 1:7 invalid character 'x' after object key:value pair"],
    ['{"a":01}', "! 1:7 invalid character '1' after object key:value pair"],
    ['{"a":1.}', "! 1:8 invalid character '}' after decimal point in numeric literal"],
    ['{"a":1e}', "! 1:8 invalid character '}' in exponent of numeric literal"],
    ['{"a":nul}', "! 1:9 invalid character '}' in literal null (expecting 'l')"],
    ['{"a":[1 2]}', "! 1:9 invalid character '2' after array element"],
    ['{"a":[1,]}', "! 1:9 invalid character ']' looking for beginning of value"],
    ['{"a":"\t"}', "! 1:7 invalid character '\\t' in string literal"],
    ['{"a":"\u0000"}', "! 1:7 invalid character '\\x00' in string literal"],
    ['{"a":"\\x41"}', "! 1:8 invalid character 'x' in string escape code"],
    ['{"a":"\\u00g0"}', "! 1:11 invalid character 'g' in \\u hexadecimal character escape"],
    ["{'a':1}", "! 1:2 invalid character '\\'' looking for beginning of object key string"],
    ["{}{}", "! 1:3 invalid character '{' after top-level value"],
    ["{}\n...\n", "! 2:1 invalid character '.' after top-level value"],
    ["{}\u0000", "! 1:3 invalid character '\\x00' after top-level value"],
    // A character is named by its first byte.
    ["{\u00e9}", "! 1:2 invalid character '\u00c3' looking for beginning of object key string"],
    ["{\u{1F600}}", "! 1:2 invalid character '\u00f0' looking for beginning of object key string"],
    ["{}\u00a0", "! 1:3 invalid character '\u00c2' after top-level value"],
    // Go's prefix test knows these spaces, its JSON does not.
    ["\u00a0{}", "! 1:1 invalid character '\u00c2' looking for beginning of value"],
    ["\u2003\u3000{}", "! 1:1 invalid character '\u00e2' looking for beginning of value"],
    ["\n\u000b{}", "! 2:1 invalid character '\\v' looking for beginning of value"],
  ])("%j", (input, expected) => expect(outcome(input)).toBe(expected));

  test("more than 10,000 levels", () => {
    const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect(outcome(nested(10_000))).toBe("! 1:10005 invalid character '[' exceeded max depth");
    expect(outcome(`{"a":${'{"b":'.repeat(10_000)}`)).toMatch(
      /^! 1:50001 invalid character '{' exceeded max depth$/,
    );
  });

  test("a byte that is not UTF-8 outside of strings is named as U+FFFD", () => {
    expect(outcome(bytes("{", 0xff))).toBe(
      "! 1:2 invalid character '\u00ef' looking for beginning of object key string",
    );
  });
});

import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

type Table = [input: string, expected: string][];
const check = (input: string, expected: string) => expect(outcome(input)).toBe(expected);

describe("plain", () => {
  const table: Table = [
    ["a b\tc  \n", '"a b\\tc"'],
    ["a\n  b\n\n\n  c\n", '"a b\\n\\nc"'],
    ["a: b\n  c # d\n", '{"a":"b c"}'],
    ["a\n---\nb\n", '"a"'],
    ["a:b::c\n", '"a:b::c"'],
    ["::/0\n", '"::/0"'],
    ["-a\n", '"-a"'],
    ["?a\n", '"?a"'],
    ["[a?b]\n", "! 1:3 yaml: did not find expected ',' or ']'"],
    ["a\u2028b\n", '"a\u2028b"'],
    ["a: b\n\tc\n", "! 2:1 yaml: found a tab character that violates indentation"],
  ];
  test.each(table)("%j", check);
});

describe("quoted", () => {
  const table: Table = [
    ["'a''b\\'\n", `"a'b\\\\"`],
    ["'a  b\n\n  c\n d'\n", '"a  b\\nc d"'],
    [
      '"\\0\\a\\b\\t\\n\\v\\f\\r\\e\\ \\"\\\'\\\\\\N\\_\\L\\P"\n',
      JSON.stringify("\0\x07\b\t\n\v\f\r\x1b \"'\\\u0085\u00a0\u2028\u2029"),
    ],
    ['"\\x41\\u00e9\\U0001F600"\n', '"A\u00e9\u{1F600}"'],
    ['"a \\\n   b\\\n\n  c"\n', '"a b\\nc"'],
    ['"a\\/b"\n', "! 1:3 yaml: found unknown escape character"],
    ['"\\x4"\n', "! 1:4 yaml: did not find expected hexdecimal number"],
    ['"\\ud800"\n', "! 1:4 yaml: found invalid Unicode character escape code"],
    ['"\\U00110000"\n', "! 1:4 yaml: found invalid Unicode character escape code"],
    ["a: 'b\n---\nc'\n", "! 2:1 yaml: found unexpected document indicator"],
    // Go names the last line; the problem is the quote that is open.
    ["a: 'b\nc\n", "! 1:4 yaml: found unexpected end of stream"],
    ['a: "b\n', "! 1:4 yaml: found unexpected end of stream"],
  ];
  test.each(table)("%j", check);
});

describe("block", () => {
  const table: Table = [
    ["|\n a\n  b\n\n c\n\n", '"a\\n b\\n\\nc\\n"'],
    [">\n a\n b\n\n c\n   d\n e\n", '"a b\\nc\\n  d\\ne\\n"'],
    ["|-\n a\n\n", '"a"'],
    ["|+\n a\n\n", '"a\\n\\n"'],
    ["|2-\n   a\n", '" a"'],
    [">1+ # c\n a\n", '"a\\n"'],
    ["a: |\n b\nc: d\n", '{"a":"b\\n","c":"d"}'],
    ["|\n", '""'],
    ["|\n\n \n  a\n", '"\\n\\na\\n"'],
    // The blank line is the deepest, so the text is no part of the scalar any more.
    ["|\n\n  \n a\n", '""'],
    ["|\n a", '"a"'],
    [">\n a\u2028 b\n", '"a\u2028b\\n"'],
    ["|0\n", "! 1:2 yaml: found an indentation indicator equal to 0"],
    ["| x\n", "! 1:3 yaml: did not find expected comment or line break"],
    ["|\n\ta\n", "! 2:1 yaml: found a tab character where an indentation space is expected"],
  ];
  test.each(table)("%j", check);
});

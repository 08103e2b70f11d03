import { describe, expect, test } from "vitest";
import { goQuote } from "./quote.ts";

// Printed by Go's strconv.Quote, but for the last: a Go string cannot hold half a pair.
describe("goQuote", () => {
  test.each([
    ["", '""'],
    ["IP-MASQ-AGENT", '"IP-MASQ-AGENT"'],
    ['a"b', '"a\\"b"'],
    ["a\\b", '"a\\\\b"'],
    ["it's", '"it\'s"'],
    ["\x07\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'],
    ["\0\x1b\x7f", '"\\x00\\x1b\\x7f"'],
    ["\x80\x85\xa0\xad", '"\\u0080\\u0085\\u00a0\\u00ad"'],
    ["MASQÄ ١٠٠", '"MASQÄ ١٠٠"'],
    ["e\u0301", '"e\u0301"'],
    ["\u200b\u2028\ufeff\ue000", '"\\u200b\\u2028\\ufeff\\ue000"'],
    ["\u3000", '"\\u3000"'],
    ["😀", '"😀"'],
    ["\u{e0001}\u{10ffff}", '"\\U000e0001\\U0010ffff"'],
    ["\ufffd", '"\ufffd"'],
    ["\ud800", '"\\ufffd"'],
  ])("%j", (text, quoted) => {
    expect(goQuote(text)).toBe(quoted);
  });
});

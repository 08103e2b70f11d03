import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

type Table = [input: string, expected: string][];
const check = (input: string, expected: string) => expect(outcome(input)).toBe(expected);

describe("collections", () => {
  const table: Table = [
    ["a:\n- b\n- - c\n  - d\n-\n", '{"a":["b",["c","d"],null]}'],
    ["a:\n  - b: c\n    d: e\n", '{"a":[{"b":"c","d":"e"}]}'],
    ["? - a\n: b\n", "! 1:3 yaml: invalid map key: a list"],
    ["? a\n? b\n: c\n", '{"a":null,"b":"c"}'],
    [
      "[a, [b], {c: d, e, ? f : g, 'h':i}, j: k, ? l]\n",
      '["a",["b"],{"c":"d","e":null,"f":"g","h":"i"},{"j":"k"},{"l":null}]',
    ],
    ["[a,\n\tb,\n\t# c\n]\n", '["a","b"]'],
    ["[a:b, {a:b}]\n", '["a:b",{"a:b":null}]'],
    ["# c\na: b#c #d\n", '{"a":"b#c"}'],
    ["a: b\rc: d\r\ne: f\u0085g: h\u2028", '{"a":"b","c":"d","e":"f","g":"h"}'],
    ["a: -1\nb: - 1\n", "! 2:4 yaml: block sequence entries are not allowed in this context"],
  ];
  test.each(table)("%j", check);
});

describe("documents", () => {
  const table: Table = [
    ["", "null"],
    ["# nothing\n", "null"],
    ["---\n---\na\n", "null"],
    ["a: b\n---\n@\n", '{"a":"b"}'],
    ["a: b\n...\n@\n", '{"a":"b"}'],
    ["--- [a]\n", '["a"]'],
    // Go looks one token further than the document, and that may be anything.
    ['"a" b\n', '"a"'],
    ['"a" @\n', "! 1:5 yaml: found character that cannot start any token"],
    ["[]: x\n", "[]"],
    ["...\n", "! 1:1 yaml: did not find expected node content"],
    ["%YAML 1.1 # c\n---\na\n", '"a"'],
    ["%YAML 1.2\n---\na\n", "! 1:1 yaml: found incompatible YAML document"],
    ["%YAML 1.1\n%YAML 1.1\n---\n", "! 2:1 yaml: did not find expected <document start>"],
    ["%YAML 1.111\n---\n", "! 1:1 yaml: found incompatible YAML document"],
    ["%TAG ! !\n---\n", "! 1:1 yaml: found unknown directive name"],
    ["%FOO\n---\n", "! 1:1 yaml: found unknown directive name"],
    ["%YAML 1.1\na\n", "! 2:1 yaml: did not find expected <document start>"],
  ];
  test.each(table)("%j", check);
});

describe("what libyaml refuses", () => {
  const table: Table = [
    ["a:\n  b: @c\n", "! 2:6 yaml: found character that cannot start any token"],
    ["a: `b\n", "! 1:4 yaml: found character that cannot start any token"],
    ["a:\n\tb: c\n", "! 2:1 yaml: found character that cannot start any token"],
    ["a: b\n  c: d\n", "! 2:4 yaml: mapping values are not allowed in this context"],
    ["a: b: c\n", "! 1:5 yaml: mapping values are not allowed in this context"],
    ["a: ? b\n", "! 1:4 yaml: mapping keys are not allowed in this context"],
    // Go's message names the line after; the problem is where the key is.
    ["a: b\nc\n", "! 2:1 yaml: could not find expected ':'"],
    ["- a\nb: c\n", "! 2:1 yaml: did not find expected '-' indicator"],
    ["a: b\n- c\n", "! 2:1 yaml: did not find expected key"],
    ["a:\n  b: c\n d: e\n", "! 3:2 yaml: did not find expected key"],
    ["a: [b\n", "! 2:1 yaml: did not find expected ',' or ']'"],
    ["a: {b: c\n  d\n", "! 3:1 yaml: did not find expected ',' or '}'"],
    ["[::/0]\n", "! 1:2 yaml: did not find expected node content"],
    ["[? : x]\n", "! 1:6 yaml: did not find expected ',' or ']'"],
    ["[- a]\n", "! 1:2 yaml: did not find expected node content"],
    ["a: ]\n", "! 1:4 yaml: did not find expected node content"],
    ["a: *b\n", "! 1:4 yaml: unknown anchor 'b' referenced"],
    ["a: &\n", "! 1:5 yaml: did not find expected alphabetic or numeric character"],
    ["a: !b!c d\n", "! 1:4 yaml: found undefined tag handle"],
    ["a: !<b d\n", "! 1:5 yaml: did not find expected whitespace or line break"],
    ["a: !! d\n", "! 1:5 yaml: did not find expected whitespace or line break"],
    ["a: !%C d\n", "! 1:5 yaml: did not find expected whitespace or line break"],
    ["a: !\u00e9 d\n", "! 1:5 yaml: did not find expected whitespace or line break"],
    ["a: !%C3%A9 d\n", '{"a":"d"}'],
    ["a: ![] d\n", '{"a":"d"}'],
    ["a: !b{} d\n", "! 1:6 yaml: did not find expected whitespace or line break"],
  ];
  test.each(table)("%j", check);
});

describe("limits", () => {
  test("a key is on one line and of 1024 characters at most", () => {
    const key = (length: number) => "x".repeat(length);
    check(`${key(1024)}: b`, `{"${key(1024)}":"b"}`);
    expect(outcome(`${key(1025)}: b`)).toMatch(/could not find expected ':'|mapping values are not allowed/);
    check(`? ${key(1025)}\n: b`, `{"${key(1025)}":"b"}`);
    const wide = "\u{1F600}".repeat(1024);
    check(`${wide}: b`, `{"${wide}":"b"}`);
    expect(outcome(`${wide}\u{1F600}: b`)).toMatch(/^! /);
    check("[a\n: b]\n", "! 2:1 yaml: did not find expected ',' or ']'");
  });

  test("10,000 levels", () => {
    check("[".repeat(10_001), "! 1:10001 yaml: exceeded max depth of 10000");
    check("- ".repeat(10_001), "! 1:20001 yaml: exceeded max depth of 10000");
    // YAML's own limits allow more than the JSON it becomes.
    const nested = `${"- ".repeat(6000)}${"[".repeat(6000)}${"]".repeat(6000)}`;
    check(nested, "! 1:16001 yaml: exceeded max depth of 10000");
  });
});

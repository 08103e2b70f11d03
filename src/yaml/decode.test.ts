import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

type Table = [input: string, expected: string][];
const check = (input: string, expected: string) => expect(outcome(input)).toBe(expected);

describe("keys", () => {
  const table: Table = [
    ["b: 1\na: 2\nB: 3\n", '{"B":3,"a":2,"b":1}'],
    // UTF-8's order, not UTF-16's.
    ["\u{1F600}: 1\n\uE000: 2\na: 3\n", '{"a":3,"\uE000":2,"\u{1F600}":1}'],
    ["a: 1\na: 2\n", '{"a":2}'],
    ["yes: a\n0x10: b\n", '{"16":"b","true":"a"}'],
    // Floats as JavaScript prints them; Go would print 1e+06.
    ["1.50: a\n1e6: b\n16777217.0: c\n", '{"1.5":"a","1000000":"b","16777217":"c"}'],
    ["1: a\n'1': b\n1.0: c\n", '{"1":"c"}'],
    ["2001-01-01: a\n", '{"2001-01-01":"a"}'],
    ["~: a\n", "! 1:1 Unsupported map key: ~"],
    ["a: {? : b}\n", "! 1:7 Unsupported map key: null"],
    ["9223372036854775808: a\n", "! 1:1 Unsupported map key: 9223372036854775808"],
    ["[a]: b\n", "! 1:1 yaml: invalid map key: a list"],
    ["? {a: b}\n: c\n", "! 1:3 yaml: invalid map key: a map"],
    ["a: &x {}\n*x : c\n", "! 2:1 yaml: invalid map key: a map"],
    ["a: &x b\n*x : c\n", '{"a":"b","b":"c"}'],
    [".inf: a\n", "! 1:1 json: unsupported value: +Inf"],
    // An error at once, although a later member replaces it.
    ["a: {~: 1}\na: 1\n", "! 1:5 Unsupported map key: ~"],
    ["a: .inf\na: 1\n", "! 1:4 json: unsupported value: +Inf"],
  ];
  test.each(table)("%j", check);
});

describe("aliases", () => {
  const table: Table = [
    ["a: &x [1, &y 2]\nb: *x\nc: *y\n", '{"a":[1,2],"b":[1,2],"c":2}'],
    ["- &x a\n- &x b\n- *x\n", '["a","b","b"]'],
    ["- &x\n- *x\n- &y !!str\n- *y\n", '[null,null,"",""]'],
    ["a: &x [*x]\n", "! 1:8 yaml: anchor 'x' value contains itself"],
    ["a: &x {<<: *x}\n", "! 1:12 yaml: anchor 'x' value contains itself"],
  ];
  test.each(table)("%j", check);
});

describe("merges", () => {
  const table: Table = [
    ["<<: {a: 1}\na: 2\n", '{"a":2}'],
    ["a: 2\n<<: {a: 1, b: 3}\n", '{"a":1,"b":3}'],
    [
      "x: &x {a: 1}\nw: &w {a: 2, b: 3}\nz: {<<: [*x, *w]}\n",
      '{"w":{"a":2,"b":3},"x":{"a":1},"z":{"a":1,"b":3}}',
    ],
    ["<<: {<<: {a: 1}, b: 2}\n", '{"a":1,"b":2}'],
    ["'<<': {a: 1}\n", '{"<<":{"a":1}}'],
    ["! '<<': {a: 1}\n", '{"a":1}'],
    ["!!merge '<<': {a: 1}\n", '{"a":1}'],
    ["!!str <<: {a: 1}\n", '{"<<":{"a":1}}'],
    ["<<: 5\n", "! 1:5 yaml: map merge requires map or sequence of maps as the value"],
    ["<<: [{a: 1}, 5]\n", "! 1:14 yaml: map merge requires map or sequence of maps as the value"],
    ["x: &x [{a: 1}]\n<<: *x\n", "! 2:5 yaml: map merge requires map or sequence of maps as the value"],
  ];
  test.each(table)("%j", check);
});

describe("excessive aliasing", () => {
  const excessive = /^! \d+:\d+ yaml: document contains excessive aliasing$/;
  const repeated = (size: number, count: number) =>
    `a: &a [${"x,".repeat(size)}]\nb: [${"*a,".repeat(count)}]`;

  test("as many steps as yaml.v2 allows", () => {
    // In a small document 99 % of the steps may come from aliases.
    expect(outcome(repeated(1, 300))).toMatch(/^{/);
    expect(outcome(repeated(300, 5))).toMatch(/^{/);
    expect(outcome(repeated(300, 400))).toMatch(excessive);
  });

  test("the laughing billions", () => {
    const lines = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]\n`);
    expect(outcome(`a0: &a0 lol\n${lines.join("")}`)).toMatch(excessive);
  });
});

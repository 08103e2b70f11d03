import { describe, expect, test } from "vitest";
import { outcome } from "../../test/oracle/outcome.ts";

const check = (input: string, expected: string) => expect(outcome(`- ${input}\n`)).toBe(expected);
/** Checks a list of scalars, separated by blanks. */
const all = (list: string, expected: string) => check(`[${list.split(" ").join(", ")}]`, `[[${expected}]]`);

describe("YAML 1.1's words", () => {
  test("true", () => all("y Y yes Yes YES true True TRUE on On ON", Array(11).fill("true").join(",")));
  test("false", () => all("n N no No NO false False FALSE off Off OFF", Array(11).fill("false").join(",")));
  test("null", () => check("[~, null, Null, NULL, ! , '']", '[[null,null,null,null,"",""]]'));
  test("none of them", () => all("yEs tRue t f nil nULL", '"yEs","tRue","t","f","nil","nULL"'));
});

describe("ints", () => {
  test.each([
    ["0 -0 +5 007 010 0o17 0x1F 0X1f 0b101 0B11 -0b11 -0x10", "0,0,5,7,8,15,31,31,5,3,-3,-16"],
    ["1_000 1__0 0_7 0x_1 5_", "1000,10,7,1,5"],
    ["0b-1 0b+1 _3 0x 0b2", '-1,1,"_3","0x","0b2"'],
    ["9223372036854775807 -9223372036854775808", "9223372036854775807,-9223372036854775808"],
    ["9223372036854775808 0xFFFFFFFFFFFFFFFF", "9223372036854775808,18446744073709551615"],
    // Too big for 64 bits: a float if decimal, else text.
    ["18446744073709551616 0x10000000000000000", '18446744073709552000,"0x10000000000000000"'],
    ["08 09.5 1:30 190:20:30", '8,9.5,"1:30","190:20:30"'],
  ])("%s", all);
});

describe("floats", () => {
  test.each([
    ["1.0 2.50 .5 5. -.5 +.5 1e3 1.e3", "1,2.5,0.5,5,-0.5,0.5,1000,1000"],
    ["1e20 1e21 1e-6 1e-7 -0.0 1e-400", "100000000000000000000,1e+21,0.000001,1e-7,-0,0"],
    ["1_0.5 .5_5 ._5 .5_", '10.5,0.55,"._5",".5_"'],
    ["1e400 . - + 1e .e3 1.2.3 10.0.0.0/8", '"1e400",".","-","+","1e",".e3","1.2.3","10.0.0.0/8"'],
  ])("%s", all);

  test.each([
    [".inf", "! 1:3 json: unsupported value: +Inf"],
    ["-.INF", "! 1:3 json: unsupported value: -Inf"],
    [".NaN", "! 1:3 json: unsupported value: NaN"],
  ])("%s is no JSON", check);
});

describe("tags", () => {
  test.each([
    ["!!str 1", '["1"]'],
    ["!!str", '[""]'],
    ["!!int '5'", "[5]"],
    ["!!int 5.0", "! 1:3 yaml: cannot decode !!float `5.0` as a !!int"],
    ["!!int x", "! 1:3 yaml: cannot decode !!str `x` as a !!int"],
    ["!!int", "! 1:3 yaml: cannot decode !!null `` as a !!int"],
    ["!!float 5", "[5]"],
    ["!!float 9007199254740993", "[9007199254740992]"],
    ["!!float 9223372036854775808", "! 1:3 yaml: cannot decode !!int `9223372036854775808` as a !!float"],
    ['!!bool "yes"', "[true]"],
    ["!!null ~", "[null]"],
    ["!!null x", "! 1:3 yaml: cannot decode !!str `x` as a !!null"],
    ["! 5", '["5"]'],
    ["!foo 5", '["5"]'],
    ["!!set 5", '["5"]'],
    ["!!map [a]", '[["a"]]'],
    ["!<tag:yaml.org,2002:int> '5'", "[5]"],
    ["!%21 5", '["5"]'],
    // Escapes in tags are not decoded, nor are base64 and timestamps.
    ["!!i%6Et '5'", '["5"]'],
    ["!!binary aGk=", '["aGk="]'],
    ["!!timestamp 2001-1-2", '["2001-1-2"]'],
    ["!!timestamp x", '["x"]'],
  ])("%j", check);
});

test("timestamps are text", () =>
  all("2001-12-14 2001-12-14T21:59:43.10-05:00", '"2001-12-14","2001-12-14T21:59:43.10-05:00"'));

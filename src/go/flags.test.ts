import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { boolType, countType, stringType, uintType, wordType } from "./flag-types.ts";
import { effectiveFlags, flag, parseFlags, renderUsage, unitsOf } from "./flags.ts";

const table = {
  chain: flag(stringType, "MASQ", "the chain's `name`"),
  dir: flag(stringType, "", "a directory"),
  six: flag(boolType, false, "IPv6 as well"),
  random: flag(boolType, true, "random ports\nin two lines"),
  size: flag(uintType, 1800n, "megabytes"),
  few: flag(countType, 0, "a count"),
  mode: flag(wordType("one", "two"), "one", "one or two"),
  b: flag(boolType, false, "one letter"),
};

function read(...argv: string[]): unknown {
  const parsed = parseFlags(table, argv);
  if (parsed.kind === "error") return parsed.message;
  if (parsed.kind !== "flags") return parsed.kind;
  const given = [...parsed.given].map((name) => [name, parsed.values[name as keyof typeof table]]);
  return [Object.fromEntries(given), ...parsed.words];
}

describe("Go's flag syntax", () => {
  test.each<[string[], unknown]>([
    [[], [{}]],
    [["-chain=A"], [{ chain: "A" }]],
    [["--chain", "A"], [{ chain: "A" }]],
    [["--chain=A=B"], [{ chain: "A=B" }]],
    [["--chain="], [{ chain: "" }]],
    [["--chain", "--six"], [{ chain: "--six" }]],
    [["--chain", "--"], [{ chain: "--" }]],
    [["--chain", ""], [{ chain: "" }]],
    [["-chain", "A", "--chain=B"], [{ chain: "B" }]],
    [["--six"], [{ six: true }]],
    [["--six=F", "-random=0"], [{ six: false, random: false }]],
    [["--size=0x10", "--few=1_0"], [{ size: 16n, few: 10 }]],
    [["--size=18446744073709551615"], [{ size: 18446744073709551615n }]],
    [["--few=9007199254740991"], [{ few: 9007199254740991 }]],
    [["--mode", "two"], [{ mode: "two" }]],
  ])("%j", (argv, expected) => {
    expect(read(...argv)).toEqual(expected);
  });

  test.each<[string[], unknown]>([
    [
      ["--", "--six"],
      [{}, "--six"],
    ],
    [
      ["-", "--six"],
      [{}, "-", "--six"],
    ],
    [
      ["", "--six"],
      [{}, "", "--six"],
    ],
    [
      ["--six", "true", "--bogus"],
      [{ six: true }, "true", "--bogus"],
    ],
    [
      ["word", "--six", "--"],
      [{}, "word", "--six", "--"],
    ],
  ])("%j ends the flags", (argv, expected) => {
    expect(read(...argv)).toEqual(expected);
  });

  test.each<[string[], string]>([
    [["--=x"], "bad flag syntax: --=x"],
    [["-=x"], "bad flag syntax: -=x"],
    [["---x"], "bad flag syntax: ---x"],
    [["---"], "bad flag syntax: ---"],
    [["--foo"], "flag provided but not defined: -foo"],
    [["--foo=1"], "flag provided but not defined: -foo"],
    [["--Chain=A"], "flag provided but not defined: -Chain"],
    [["--constructor"], "flag provided but not defined: -constructor"],
    [["--__proto__=1"], "flag provided but not defined: -__proto__"],
    [["--six", "-chain"], "flag needs an argument: -chain"],
    [["--six=yes"], 'invalid boolean value "yes" for -six: parse error'],
    [["--six="], 'invalid boolean value "" for -six: parse error'],
    [["--six=maybe", "--six=true"], 'invalid boolean value "maybe" for -six: parse error'],
    [["--size=-1"], 'invalid value "-1" for flag -size: parse error'],
    [["--size", "\t1"], 'invalid value "\\t1" for flag -size: parse error'],
    [
      ["--size=18446744073709551616"],
      'invalid value "18446744073709551616" for flag -size: value out of range',
    ],
    [["--few=-1"], 'invalid value "-1" for flag -few: must not be negative'],
    [["--few=1e3"], 'invalid value "1e3" for flag -few: parse error'],
    [["--few=9007199254740992"], 'invalid value "9007199254740992" for flag -few: value out of range'],
    [["--mode=Two"], 'invalid value "Two" for flag -mode: must be one of one, two'],
  ])("%j fails", (argv, message) => {
    expect(read(...argv)).toBe(message);
  });

  test.each([["-h"], ["--h"], ["-help"], ["--help"], ["--help=false"], ["--help="]])("%s is help", (arg) => {
    expect(read("--six", arg, "--bogus")).toBe("help");
  });

  test.each([["-version"], ["--version"], ["--version=true"], ["--version=false"]])(
    "%s asks for the version",
    (arg) => {
      expect(parseFlags(table, ["--six", arg, "--bogus"])).toEqual({ kind: "version" });
    },
  );

  test.each<[string, string | undefined]>([
    ["--chian=A", "did you mean --chain?"],
    ["--Chain", "did you mean --chain?"],
    ["-radnom=0", "did you mean --random?"],
    ["--B", "did you mean -b?"],
    ["--something", undefined],
  ])("%s is not defined, and what may have been meant is said", (arg, hint) => {
    const parsed = parseFlags(table, [arg]);
    expect(parsed.kind === "error" ? parsed.hint : parsed).toBe(hint);
  });

  test("help may be a flag like any other", () => {
    expect(parseFlags({ h: flag(boolType, false, "") }, ["-h"])).toMatchObject({ values: { h: true } });
  });

  test("flags that are not given have the table's values", () => {
    expect(parseFlags(table, ["--dir=x"])).toMatchObject({
      values: { chain: "MASQ", dir: "x", six: false, random: true, size: 1800n, few: 0, mode: "one" },
      given: new Set(["dir"]),
    });
  });

  test("what a value prints as is read as the same value", () => {
    fc.assert(
      fc.property(
        fc.record({ chain: fc.string(), six: fc.boolean(), size: fc.bigInt(0n, 2n ** 64n - 1n) }),
        (v) => {
          const argv = effectiveFlags(table, { ...initial(), ...v }).map(
            ([name, text]) => `--${name}=${text}`,
          );
          expect(parseFlags(table, argv)).toMatchObject({ values: v });
        },
      ),
    );
  });

  function initial() {
    const parsed = parseFlags(table, []);
    if (parsed.kind !== "flags") throw new Error("no flags are flags");
    return parsed.values;
  }
});

describe("flags anywhere", () => {
  test.each<[string[], boolean, string[]]>([
    [["8.8.8.8", "--six", "1.1.1.1"], true, ["8.8.8.8", "1.1.1.1"]],
    [["-", "", "--six"], true, ["-", ""]],
    [["a", "--", "--six", "--"], false, ["a", "--six", "--"]],
  ])("%j", (argv, six, words) => {
    expect(parseFlags(table, argv, "anywhere")).toMatchObject({ values: { six }, words });
  });
});

test("the usage text is what Go's PrintDefaults prints", () => {
  expect(renderUsage("agent", table)).toMatchInlineSnapshot(`
    "Usage of agent:
      -b	one letter
      -chain name
        	the chain's name (default "MASQ")
      -dir string
        	a directory
      -few int
        	a count
      -mode value
        	one or two (default one)
      -random
        	random ports
        	in two lines (default true)
      -six
        	IPv6 as well
      -size uint
        	megabytes (default 1800)
    "
  `);
});

test("a backquoted name, with $ in it, names even a boolean's argument", () => {
  const odd = { x: flag(boolType, false, "a `$&` flag"), y: flag(stringType, "", "one ` only") };
  expect(renderUsage("agent", odd)).toMatchInlineSnapshot(`
    "Usage of agent:
      -x $&
        	a $& flag
      -y string
        	one \` only
    "
  `);
});

test.each<[string[], string[][]]>([
  [[], []],
  [
    ["--six", "true", "--chain", "A", "-chain=B", "x"],
    [["--six"], ["true"], ["--chain", "A"], ["-chain=B"], ["x"]],
  ],
  [
    ["--bogus", "x", "--chain"],
    [["--bogus"], ["x"], ["--chain"]],
  ],
  [
    ["", "-", "--", "---", "--=", "--constructor", "x"],
    [[""], ["-"], ["--"], ["---"], ["--="], ["--constructor"], ["x"]],
  ],
])("the units of %j", (args, units) => {
  expect(unitsOf(table, args).map(({ texts }) => texts)).toEqual(units);
});

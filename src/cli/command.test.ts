import { describe, expect, test } from "vitest";
import { say } from "../../test/support/io.ts";
import { CommandError } from "../agent/exec.ts";
import { flag } from "../core/flags.ts";
import { boolType, countType } from "../core/flagtypes.ts";
import { SourceError } from "../source/file.ts";
import { type Command, UsageError } from "./command.ts";
import { COMMANDS } from "./commands.ts";

const flags = {
  "to-count": flag(countType, 3, "How `many` to count."),
  loud: flag(boolType, false, "Whether to shout."),
};

/** Repeats what it was told, or fails as its first word says. */
const echo: Command<typeof flags> = {
  name: "echo",
  summary: "Says what it was told",
  operands: "WORD...",
  details: "First paragraph,\nof two lines.\n\nSecond paragraph.",
  flags,
  examples: [{ args: "echo --loud a", what: "a shout" }],
  async run({ values, given, words, output }, { out, colours }) {
    const script = { file: "ipset", args: [], purpose: "listing sets", deadlineMs: 1 };
    if (words[0] === "usage") throw new UsageError("no word usage");
    if (words[0] === "tool") throw new CommandError(script, { why: "cannot start", code: "ENOENT" });
    if (words[0] === "file") throw new SourceError("/x", new Error("is no file"));
    if (words[0] === "bug") throw new Error("broken");
    out(colours.red(JSON.stringify({ values, given: [...given], words, output })));
    return 1;
  },
};

const run = (...args: string[]) => say(echo, args);

test("flags and words in any order, -- ends the flags, and the exit code is the command's", async () => {
  expect(await run("a", "--to-count", "5", "-o=json", "b", "--", "--loud")).toEqual({
    code: 1,
    out: '{"values":{"to-count":5,"loud":false,"o":"json"},"given":["to-count","o"],"words":["a","b","--loud"],"output":"json"}',
    err: "",
  });
});

test("colours where they are wanted", async () => {
  const { out } = await say(echo, ["a"], { colours: true });
  expect([out.slice(0, 6), out.slice(-5)]).toEqual(["\u001b[31m{", "\u001b[39m"]);
});

test("help is printed on stdout, whatever else is asked for", async () => {
  const { code, out, err } = await run("a", "--help", "--no-such-flag");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatchInlineSnapshot(`
    "Says what it was told

    Usage: ip-masq-agent echo [flags] WORD...

    First paragraph, of two lines.

    Second paragraph.

    Flags:
      --loud
          Whether to shout.
      -o text|json
          How the answer is written: text|json. (default text)
      --to-count many
          How many to count. (default 3)

    Exit codes: 0 fine, 1 a negative answer or a failure, 2 a wrong command line.

    Examples:
      # a shout
      ip-masq-agent echo --loud a
    "
  `);
  expect((await run("-h")).out).toBe(out);
});

describe("failures", () => {
  test("are one line on stderr, wrong command lines with a second one that says where to look", async () => {
    const lines = ["--no-such-flag", "--to-count -1", "--loud=maybe", "-o yaml", "usage", "tool", "file"];
    const said = await Promise.all(lines.map((line) => run(...line.split(" "))));
    expect(said.map(({ out }) => out).join("")).toBe("");
    expect(said.map(({ code, err }) => `${code} ${err}`).join("")).toMatchInlineSnapshot(`
      "2 ip-masq-agent echo: flag provided but not defined: -no-such-flag
      See "ip-masq-agent echo --help"
      2 ip-masq-agent echo: invalid value "-1" for flag -to-count: must not be negative
      See "ip-masq-agent echo --help"
      2 ip-masq-agent echo: invalid boolean value "maybe" for -loud: parse error
      See "ip-masq-agent echo --help"
      2 ip-masq-agent echo: invalid value "yaml" for flag -o: must be one of text, json
      See "ip-masq-agent echo --help"
      2 ip-masq-agent echo: no word usage
      See "ip-masq-agent echo --help"
      1 ip-masq-agent echo: error listing sets: cannot start (ipset is not in PATH: install it, e.g. with "apt-get install ipset")
      1 ip-masq-agent echo: /x: is no file
      "
    `);
  });

  test("a command without operands takes none", async () => {
    expect(await say({ ...echo, operands: "" }, ["a"])).toMatchObject({
      code: 2,
      err: 'ip-masq-agent echo: unexpected argument: a\nSee "ip-masq-agent echo --help"\n',
    });
  });

  test("a broken invariant is thrown, and so is everything once the process is told to end", async () => {
    await expect(run("bug")).rejects.toThrow("broken");
    await expect(say(echo, ["tool"], { signal: AbortSignal.abort() })).rejects.toThrow("listing sets");
  });
});

describe("the table of commands", async () => {
  const commands = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => [name, await load()] as const),
  );
  test.each(commands)("%s says what it is", async (name, command) => {
    expect(command.name).toBe(name);
    expect(command.summary).toMatch(/^[A-Z].{5,70}[^.]$/);
    expect(command.examples.length).toBeGreaterThan(0);
    for (const { args } of command.examples) expect(args).toMatch(new RegExp(`^${name}\\b`));
    expect(Object.keys(command.flags)).not.toContain("o");
    const { code, out } = await say(command, ["--help"]);
    expect(code).toBe(0);
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThan(110);
  });
});

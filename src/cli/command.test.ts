import { describe, expect, test } from "vitest";
import { say } from "../../test/lab/io.ts";
import { SourceError } from "../agent/config/file.ts";
import { boolType, countType } from "../go/flag-types.ts";
import { flag } from "../go/flags.ts";
import { CommandError } from "../system/command-error.ts";
import { type Command, UsageError } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { pickFlags } from "./options.ts";

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
          The format of the answer: text|json. (default text)
      --to-count many
          How many to count. (default 3)

    Exit codes: 0 on success, 1 if the answer is "no" or after an error, 2 after a usage error.

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

describe("flags of the agent beside", () => {
  const agents = [{ pid: 7, args: ["--enable-ipv6", "--masq-chain=A"], isOurs: true }];
  const shared = pickFlags("enable-ipv6", "masq-chain");
  const asking: Command<typeof shared> = {
    ...echo,
    flags: shared,
    adopts: () => "/proc",
    readsNode: () => false,
    async run({ values, given, agent }, { out }) {
      out(JSON.stringify({ ...values, given: [...given], pid: agent?.pid }));
      return 0;
    },
  };
  const chain = "IP-MASQ-AGENT";

  test("are taken for those that were not given, in a line on stderr", async () => {
    const { out, err } = await say(asking, ["--masq-chain=A"], { agents });
    expect(JSON.parse(out)).toMatchObject({
      "enable-ipv6": true,
      "masq-chain": "A",
      given: ["masq-chain"],
      pid: 7,
    });
    expect(err).toBe("ip-masq-agent echo: --enable-ipv6=true, from the agent with pid 7\n");
  });

  test("are not taken with --no-adopt, nor by a command that is about something else", async () => {
    const defaults = { "enable-ipv6": false, "masq-chain": chain };
    for (const args of [["--no-adopt"], ["--no-adopt=true"]]) {
      const { out, err } = await say(asking, args, { agents });
      expect([JSON.parse(out), err]).toMatchObject([defaults, ""]);
    }
    const { adopts: _, ...other } = asking;
    expect(JSON.parse((await say(other, [], { agents })).out)).toMatchObject(defaults);
    expect((await say(other, ["--no-adopt"], { agents })).code).toBe(2);
    const elsewhere = { ...asking, adopts: () => undefined };
    expect(JSON.parse((await say(elsewhere, [], { agents })).out)).toMatchObject(defaults);
  });
});

test("standard input is read once: a second reader would take the rest for an empty file", async () => {
  const greedy: Command = {
    ...echo,
    flags: {},
    async run(_, { stdin, out }) {
      for (let i = 0; i < 2; i++) out(Buffer.from(await stdin()).toString());
      return 0;
    },
  };
  expect(await say(greedy, [], { stdin: "x" })).toMatchObject({ code: 2, out: "x" });
});

describe("on another system than Linux", async () => {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));

  test("a command that looks at a node says so in one line, and does nothing", async () => {
    const looking: readonly (readonly [string, ...string[]])[] = [
      ["explain", "--live", "8.8.8.8"],
      ["diff"],
      ["doctor"],
      ["ports"],
      ["who", "192.0.2.1:1"],
      ["report"],
      ["cleanup"],
    ];
    for (const [name, ...args] of looking) {
      const command = commands.find((one) => one.name === name);
      if (command === undefined) throw new Error(`no command ${name}`);
      const { code, out, err } = await say(command, args, { platform: "darwin" });
      expect({ code, out }, name).toEqual({ code: command.exitCodes?.failure ?? 1, out: "" });
      expect(err).toBe(
        `ip-masq-agent ${name}: it looks at a Linux node, and this system is darwin: run it on the node, or in the agent's pod with kubectl exec\n`,
      );
    }
    const others = commands.filter(({ readsNode }) => readsNode === undefined).map(({ name }) => name);
    expect(others).toEqual([
      "validate",
      "render",
      // Of any address that it is given, such as a forwarded port's.
      "status",
      "version",
      "completion",
      "man",
      "help",
    ]);
  });

  test("explain and diff of files work", async () => {
    for (const [name, ...args] of [
      ["explain", "8.8.8.8"],
      ["diff", "--config=agent-config/config", "agent-config/config"],
    ]) {
      const command = commands.find((one) => one.name === name);
      if (command === undefined) throw new Error(`no command ${name}`);
      expect(await say(command, args, { platform: "darwin" }), name).toMatchObject({ code: 0 });
    }
  });
});

describe("every command that answers for an agent", async () => {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  const about = commands.filter(
    ({ flags }) => "config" in flags || "enable-ipv6" in flags || "http-address" in flags,
  );

  test("takes its flags, but for cleanup, which removes what it is told to", () => {
    expect(about.filter(({ adopts }) => adopts !== undefined).map(({ name }) => name)).toEqual(
      about.map(({ name }) => name),
    );
    expect(
      commands.filter(({ adopts }) => adopts !== undefined).map(({ name }) => name),
    ).toMatchInlineSnapshot(`
      [
        "explain",
        "diff",
        "validate",
        "render",
        "doctor",
        "status",
        "ports",
        "report",
      ]
    `);
  });

  test.each(
    about
      // For these it is part of the answer.
      .filter(({ flags, name }) => "config" in flags && !["doctor", "report"].includes(name))
      .map((one) => [one.name, one] as const),
  )("%s fails if the --config that it was given does not exist", async (_, command) => {
    const words = command.name === "explain" ? ["10.1.2.3"] : [];
    const { code, out, err } = await say(command, ["--config=/no/such/file", ...words]);
    expect([code, out, err.split("\n").slice(0, -1).at(-1)]).toEqual([
      command.exitCodes?.failure ?? 1,
      "",
      `ip-masq-agent ${command.name}: /no/such/file: no such file`,
    ]);
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { goQuote } from "../go/quote.ts";
import { type CommandLine, readCommandLine } from "./command-line.ts";
import { COMMANDS } from "./commands.ts";
import { answerFront } from "./front.ts";
import { agentFlags } from "./options.ts";

const NAMES = Object.keys(COMMANDS);
const ALL = ["run", ...NAMES];

const read = (argv: readonly string[], isTyped = false) => readCommandLine(argv, NAMES, () => isTyped);

/** What an agent that starts warns of; else what is refused instead. */
function warning(asked: CommandLine): string {
  return asked.kind === "agent" ? (asked.ignored ?? "nothing") : `NO AGENT: ${asked.kind}`;
}

/** What is said where no agent starts. */
async function said(asked: CommandLine, isTerminal = false): Promise<string> {
  if (asked.kind === "agent" || asked.kind === "command") return asked.kind;
  const { code, out = "", err = "" } = await answerFront(asked, COMMANDS, isTerminal);
  expect([out, err]).toContain("");
  return `${code}: ${out}${err}`;
}

describe("the first argument", () => {
  test.each<[string[], Partial<CommandLine>]>([
    [["explain", "8.8.8.8"], { kind: "command", name: "explain", args: ["8.8.8.8"] }],
    [["version"], { kind: "command", name: "version", args: [] }],
    [[], { kind: "agent", ignored: undefined }],
    [["run"], { kind: "agent", ignored: undefined }],
    [["run", "--enable-ipv6"], { kind: "agent", ignored: undefined }],
    [["--v", "2"], { kind: "agent", ignored: undefined }],
    [["--masq-chain", "status"], { kind: "agent", ignored: undefined }],
    [["--version"], { kind: "version" }],
    [["-h"], { kind: "help" }],
  ])("%j", (argv, expected) => {
    expect(read(argv)).toMatchObject(expected);
  });

  test("that is neither a flag nor a command is refused, with what may have been meant", async () => {
    const lines = [
      "expalin 10.1.2.3",
      "Status",
      "toString",
      "/usr/local/bin/ip-masq-agent --v=2",
      "run\n",
      "\u001b[2J",
    ];
    const answers = await Promise.all(lines.map((line) => said(read(line.split(" ")))));
    expect(answers.join("")).toMatchInlineSnapshot(`
      "2: ip-masq-agent: unknown command "expalin": did you mean explain?
      See "ip-masq-agent help"
      2: ip-masq-agent: unknown command "Status": did you mean status?
      See "ip-masq-agent help"
      2: ip-masq-agent: unknown command "toString": without a command there are only flags
      See "ip-masq-agent help"
      2: ip-masq-agent: unknown command "/usr/local/bin/ip-masq-agent": without a command there are only flags
      See "ip-masq-agent help"
      2: ip-masq-agent: unknown command "run\\n": did you mean run?
      See "ip-masq-agent help"
      2: ip-masq-agent: unknown command "\\x1b[2J": without a command there are only flags
      See "ip-masq-agent help"
      "
    `);
  });

  test("never starts an agent, unless it is a flag, empty, or run", () => {
    const argument = fc.oneof(fc.string(), fc.constantFrom(...ALL, "--v=2", "-", "--", ""));
    fc.assert(
      fc.property(fc.array(argument), fc.boolean(), (argv, isTyped) => {
        const { kind } = read(argv, isTyped);
        const [first] = argv;
        if (first === undefined || first === "" || first.startsWith("-") || first === "run") return;
        expect(kind).toBe(NAMES.includes(first) ? "command" : "unknown command");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a command's name behind something else", () => {
  test("never starts an agent, whatever is around it", () => {
    const flag = fc.constantFrom("--enable-ipv6", "--backend=nftables", "-v=2", "--live", "-o");
    const around = fc.array(fc.oneof(flag, fc.constantFrom("true", "10.1.2.3", "--", "-", "")), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(
        fc.array(flag, { minLength: 1 }),
        around,
        fc.constantFrom(...ALL),
        around,
        (flags, a, name, b) => {
          expect(read([...flags, ...a, name, ...b]).kind).toBe("misplaced");
        },
      ),
    );
  });

  test("is told where it goes, and with what of the rest", async () => {
    const lines = [
      "--backend=nftables diff",
      "--backend=nftables status",
      "-o json status",
      "--enable-ipv6 true explain 10.1.2.3 --live",
      "--masq-chain A -- cleanup",
      "run status",
      "--v=2 run",
      "--config=a,b validate",
      "--config f --watch=false --enable-ipv6 validate",
    ];
    const answers = await Promise.all(lines.map((line) => said(read(line.split(" ")))));
    expect(answers.map((text) => text.split("\n")[0]).join("\n")).toMatchInlineSnapshot(`
      "2: ip-masq-agent: put the command first: ip-masq-agent diff --backend=nftables
      2: ip-masq-agent: put the command first: ip-masq-agent status (it does not take --backend=nftables)
      2: ip-masq-agent: put the command first: ip-masq-agent status -o json
      2: ip-masq-agent: put the command first: ip-masq-agent explain --enable-ipv6 true 10.1.2.3 --live
      2: ip-masq-agent: put the command first: ip-masq-agent cleanup --masq-chain A
      2: ip-masq-agent: put the command first: ip-masq-agent status
      2: ip-masq-agent: put the command first: ip-masq-agent run --v=2
      2: ip-masq-agent: put the command first: ip-masq-agent validate a,b
      2: ip-masq-agent: put the command first: ip-masq-agent validate f --enable-ipv6 (it does not take --watch=false)"
    `);
  });
});

describe("other words behind flags", () => {
  test("are ignored, with one warning that names them and the flags that they hide", () => {
    const lines: string[][] = [
      ["--enable-ipv6", "true", "--config=/x"],
      ["--random-fully", "False", "--masq-chain", "A", "--to-ports=1-2"],
      ["-watch", "off"],
      ["--enable-ipv6=true", "true"],
      ["--enable-ipv6", "--", "true"],
      ["--masq-chain", "--enable-ipv6", "true"],
      ["--v", "2", "foo", "--bogus", "bar\n"],
      ["--", "--foo"],
      ["-", "--enable-ipv6", "--foo"],
      ["", "--enable-ipv6"],
      ["run", "foo"],
      ["--"],
      ["--v=2", "staus"],
    ];
    expect(lines.map((argv) => warning(read(argv))).join("\n")).toMatchInlineSnapshot(`
      "ignored: "true" --config=/x: "true" ends the flags, as in the Go program. Write --enable-ipv6=true
      ignored: "False" --masq-chain A --to-ports=1-2: "False" ends the flags, as in the Go program. Write --random-fully=false
      ignored: "off": "off" ends the flags, as in the Go program. Write --watch=false
      ignored: "true": "true" ends the flags, as in the Go program
      ignored: "true": "--" ends the flags, as in the Go program
      ignored: "true": "true" ends the flags, as in the Go program
      ignored: "foo" --bogus "bar\\n": "foo" ends the flags, as in the Go program
      ignored: --foo: "--" ends the flags, as in the Go program
      ignored: "-" --enable-ipv6 --foo: "-" ends the flags, as in the Go program
      ignored: "" --enable-ipv6: "" ends the flags, as in the Go program
      ignored: "foo": "foo" ends the flags, as in the Go program
      nothing
      ignored: "staus": "staus" ends the flags, as in the Go program. Did you mean the command status? It goes first"
    `);
  });

  test("every swallowed argument is in the warning", () => {
    const names = Object.keys(agentFlags).map((name) => `--${name}=1`);
    const rest = fc.array(fc.constantFrom(...names, "x", "y z", "\u001b[2J", "--bogus"), { minLength: 1 });
    fc.assert(
      fc.property(fc.constantFrom("foo", "-", "true", "--"), rest, (end, swallowed) => {
        const text = warning(read(["--enable-ipv6", end, ...swallowed]));
        expect(text).toMatch(/^ignored: /);
        expect(text).not.toMatch(/\p{Cc}/u);
        for (const argument of swallowed)
          expect(text).toContain(argument.startsWith("--") ? argument : goQuote(argument));
      }),
    );
  });

  test("are refused at a terminal if they are nearly a command's name", async () => {
    expect(await said(read(["--backend=nftables", "staus"], true))).toMatchInlineSnapshot(`
      "2: ip-masq-agent: unknown command "staus": did you mean status?
      See "ip-masq-agent help"
      "
    `);
    expect(read(["--enable-ipv6", "true"], true).kind).toBe("agent");
  });
});

describe("at a terminal", () => {
  test("the program's name alone shows the commands and how to run the agent, and ends with 2", async () => {
    expect(await said(read([], true))).toMatchInlineSnapshot(`
      "2: Keeps a node's masquerade rules in sync with its configuration.

      Usage: ip-masq-agent [command] [flags]

      Commands:
        run         Run the agent (the default)
        explain     Explain why destinations are masqueraded or keep the pod's address
        diff        Show what a new configuration would change, or how rules have drifted
        validate    Check configurations and report every problem
        render      Print what run would program, as a shell script
        doctor      Find what defeats the agent on this node, and how to fix it
        status      Show the state of the agent on this node
        ports       Show how many of the node's source ports are in use, and by which pods
        who         Name the pod whose connection uses an address and port of this node
        report      Collect what a bug report needs into one JSON document
        cleanup     Remove all rules and sets of the agent from this node
        version     Print the version
        completion  Print a script that completes commands and flags in a shell
        man         Print the manual page
        help        List the commands, or show the help of one

      Without a command it runs the agent, as "run". See "ip-masq-agent help COMMAND" for the flags of each.

      To run the agent by hand, as root, with the defaults: ip-masq-agent run
      It writes rules into the nat table of this network namespace, and leaves them when it ends: ip-masq-agent cleanup removes them.
      "
    `);
  });

  test("a wrong flag takes three lines at most", async () => {
    const asked = read(["--enable-ipv7"]);
    expect(await said(asked, true)).toMatchInlineSnapshot(`
      "2: ip-masq-agent: flag provided but not defined: -enable-ipv7: did you mean --enable-ipv6?
      See "ip-masq-agent --help"
      "
    `);
    expect((await said(asked)).split("\n").slice(0, 2)).toMatchInlineSnapshot(`
      [
        "2: flag provided but not defined: -enable-ipv7",
        "Usage of ip-masq-agent:",
      ]
    `);
  });
});

test("--help begins with the commands, and the flags follow as the Go program shows them", async () => {
  const text = await said(read(["--help"]));
  expect(text).toMatch(/^0: Keeps a node's .*\n\nUsage: .*\n\nCommands:\n {2}run /);
  expect(text).toContain("\nUsage of ip-masq-agent:\n  -add_dir_header\n");
});

test("--version prints what the command version prints", async () => {
  expect(await said(read(["--version=true"]))).toMatch(/^0: ip-masq-agent \S+ \(node v.*\)\n$/);
});

import { expect, test } from "vitest";
import { say } from "../../test/lab/io.ts";
import { COMMANDS } from "./commands.ts";
import { helpCommand } from "./help.ts";
import { agentUsage } from "./options.ts";

const { version, ...rest } = COMMANDS;
const few = helpCommand({ ...(version && { version }) });

test("without a word it lists the commands, run first", async () => {
  expect((await say(few, [])).out).toMatchInlineSnapshot(`
    "Keeps a node's masquerade rules equal to a configuration.

    Usage: ip-masq-agent [command] [flags]

    Commands:
      run      Runs the agent (the default)
      version  Prints the version

    Without a command it is "run". See "ip-masq-agent help COMMAND" for the flags of each.
    "
  `);
});

test("with one it shows the same as that command's --help", async () => {
  expect((await say(few, ["version"])).out).toMatchInlineSnapshot(`
    "Prints the version

    Usage: ip-masq-agent version [flags]

    Flags:
      -o text|json
          How the answer is written: text|json. (default text)

    Exit codes: 0 on success, 1 if the answer is "no" or after an error, 2 after a usage error.

    Examples:
      # the version for a program to read
      ip-masq-agent version -o json
    "
  `);
  expect((await say(few, ["run"])).out).toBe(agentUsage());
});

test("in JSON", async () => {
  expect(JSON.parse((await say(few, ["-o", "json"])).out)).toMatchObject([
    { name: "run" },
    { name: "version" },
  ]);
});

test("a command that does not exist", async () => {
  expect(await say(few, ["versoin"])).toMatchInlineSnapshot(`
    {
      "code": 2,
      "err": "ip-masq-agent help: no command "versoin": did you mean version?
    See "ip-masq-agent help --help"
    ",
      "out": "",
    }
  `);
  expect((await say(few, ["run", "version"])).code).toBe(2);
});

test("help knows itself", async () => {
  expect(rest).toHaveProperty("help");
  expect((await say(helpCommand(COMMANDS), ["help"])).code).toBe(0);
});

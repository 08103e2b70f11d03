import { expect, test } from "vitest";
import { say } from "../../test/lab/io.ts";
import { COMMANDS } from "./commands.ts";
import { helpCommand } from "./help.ts";
import { agentUsage } from "./options.ts";

const { version, ...rest } = COMMANDS;
const few = helpCommand({ ...(version && { version }) });

test("without a word it lists the commands, run first", async () => {
  expect((await say(few, [])).out).toMatchInlineSnapshot(`
    "Keeps a node's masquerade rules in sync with its configuration.

    Usage: ip-masq-agent [command] [flags]

    Commands:
      run      Run the agent (the default)
      version  Print the version

    Without a command it runs the agent, as "run". See "ip-masq-agent help COMMAND" for the flags of each.
    "
  `);
});

test("with one it shows the same as that command's --help", async () => {
  expect((await say(few, ["version"])).out).toMatchInlineSnapshot(`
    "Print the version

    Usage: ip-masq-agent version [flags]

    Flags:
      -o text|json
          The format of the answer: text|json. (default text)

    Exit codes: 0 on success, 1 if the answer is "no" or after an error, 2 after a usage error.

    Examples:
      # print the version for a program to read
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

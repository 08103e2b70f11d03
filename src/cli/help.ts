/** The command `help`. */

import { nearest } from "../text/near.ts";
import { allFlags, type Command, type CommandLoaders, UsageError } from "./command.ts";
import type { Manual } from "./manual.ts";
import { agentUsage } from "./options.ts";
import { runManual } from "./run-manual.ts";
import { renderCommands, renderHelp } from "./usage.ts";

/** `help` over a table of commands, which includes itself. */
export function helpCommand(commands: CommandLoaders): Command {
  return {
    name: "help",
    summary: "List the commands, or show the help of one",
    operands: "[COMMAND]",
    details: "",
    flags: {},
    examples: [{ args: "help version", what: "show how to use a command" }],
    async run({ words, output }, { out }) {
      const [name, ...more] = words;
      if (more.length > 0) throw new UsageError(`unexpected argument: ${more[0]}`);
      const manuals = await allManuals(commands);
      const shown = name === undefined ? manuals : manuals.filter((manual) => manual.name === name);
      if (shown.length === 0) throw new UsageError(unknown(name ?? "", manuals));
      out(
        output === "json"
          ? renderJson(shown)
          : name === undefined
            ? overview(manuals)
            : helpOf(shown[0] as Manual),
      );
      return 0;
    },
  };
}

/** The manuals of all commands, `run` first. */
export async function allManuals(commands: CommandLoaders): Promise<readonly Manual[]> {
  return [runManual, ...(await Promise.all(Object.values(commands).map((load) => load())))];
}

function helpOf(manual: Manual): string {
  return manual === runManual ? agentUsage() : renderHelp(manual, allFlags(manual));
}

/** The purpose of the program, and its commands. */
export function overview(manuals: readonly Manual[]): string {
  return [
    "Keeps a node's masquerade rules in sync with its configuration.\n",
    "Usage: ip-masq-agent [command] [flags]\n",
    `Commands:\n${renderCommands(manuals)}`,
    'Without a command it runs the agent, as "run". See "ip-masq-agent help COMMAND" for the flags of each.\n',
  ].join("\n");
}

function renderJson(manuals: readonly Manual[]): string {
  const answer = manuals.map(({ name, summary, operands, examples }) => ({
    name,
    summary,
    operands,
    examples,
  }));
  return `${JSON.stringify(answer)}\n`;
}

function unknown(name: string, manuals: readonly Manual[]): string {
  const names = manuals.map((manual) => manual.name);
  const meant = nearest(name, names);
  return `no command ${JSON.stringify(name)}${meant === undefined ? `; there are ${names.join(", ")}` : `: did you mean ${meant}?`}`;
}

/**
 * The output of the program where it runs neither the agent nor a command: its help, its version, and the reason why it
 * refuses.
 */

import { quote } from "../backend/shell.ts";
import { type FlagTable, flagValue, type Unit, unitsOf } from "../go/flags.ts";
import { printable } from "../text/printable.ts";
import { allFlags, type Command, type CommandLoaders } from "./command.ts";
import type { CommandLine } from "./command-line.ts";
import { flush } from "./commands.ts";
import { allManuals, overview } from "./help.ts";
import { agentFlags, agentUsage } from "./options.ts";
import { versionLine } from "./version.ts";

type Front = Exclude<CommandLine, { kind: "agent" | "command" }>;

/** An answer, and its stream. */
export interface FrontAnswer {
  readonly code: number;
  readonly out?: string;
  readonly err?: string;
}

/** The answer; at a terminal (`isTerminal`) a wrong flag gives a few lines, elsewhere the Go program's words. */
export async function answerFront(
  asked: Front,
  commands: CommandLoaders,
  isTerminal: boolean,
): Promise<FrontAnswer> {
  switch (asked.kind) {
    case "version":
      return { code: 0, out: versionLine() };
    case "help":
      // On stderr, as in the Go program.
      return { code: 0, err: `${overview(await allManuals(commands))}\n${agentUsage()}` };
    case "overview":
      return { code: 2, err: `${overview(await allManuals(commands))}\n${BY_HAND}` };
    case "unknown command":
      return refusal([asked.message, asked.hint].filter(Boolean).join(": "), "help");
    case "wrong flag":
      return isTerminal
        ? refusal([asked.message, asked.hint].filter(Boolean).join(": "), "--help")
        : { code: 2, err: `${asked.message}\n${agentUsage()}` };
    case "misplaced":
      return refusal(`put the command first: ${await inOrder(asked, commands)}`, "help");
  }
}

const BY_HAND = `To run the agent by hand, as root, with the defaults: ip-masq-agent run
It writes rules into the nat table of this network namespace, and leaves them when it ends: ip-masq-agent cleanup removes them.
`;

function refusal(message: string, where: string): FrontAnswer {
  return { code: 2, err: `ip-masq-agent: ${printable(message)}\nSee "ip-masq-agent ${where}"\n` };
}

/** The command line with its command in front, as far as the command knows its flags. */
async function inOrder(
  { name, args }: Extract<Front, { kind: "misplaced" }>,
  commands: CommandLoaders,
): Promise<string> {
  const command = await commands[name]?.();
  const table: FlagTable = command === undefined ? agentFlags : allFlags(command);
  const units = unitsOf({ ...agentFlags, ...table }, args).filter(({ texts }) => texts[0] !== "--");
  const isFile = ({ flag }: Unit) =>
    flag === "config" && !Object.hasOwn(table, flag) && command?.operands.startsWith("FILE") === true;
  const isLost = (unit: Unit) =>
    unit.flag === undefined ? takesNoWords(command) : !Object.hasOwn(table, unit.flag) && !isFile(unit);
  const kept = units.flatMap((unit) => {
    if (isLost(unit)) return [];
    return isFile(unit) ? (flagValue(unit.texts, "config") ?? []) : unit.texts;
  });
  const lost = units.filter(isLost).flatMap(({ texts }) => texts);
  const line = ["ip-masq-agent", name, ...kept].map(quote).join(" ");
  return lost.length === 0 ? line : `${line} (it does not take ${lost.map(quote).join(" ")})`;
}

function takesNoWords(command: Command | undefined): boolean {
  return command === undefined || command.operands === "";
}

/** Prints the answer on this process' streams. Returns the exit code. */
export async function showFront(
  asked: Front,
  commands: CommandLoaders,
  isTerminal: boolean,
): Promise<number> {
  const { code, out = "", err = "" } = await answerFront(asked, commands, isTerminal);
  process.stdout.write(out);
  process.stderr.write(err);
  await flush();
  return code;
}

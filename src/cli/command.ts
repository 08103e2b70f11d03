/**
 * Commands as plain data, and the one way to run them: this file parses flags, prints help and turns errors into exit
 * codes, so that no command does it in its own way.
 */

import { SourceError } from "../agent/config/file.ts";
import { isFailure } from "../backend/driver.ts";
import { quote } from "../backend/shell.ts";
import { boolType, wordType } from "../go/flag-types.ts";
import { type FlagTable, type FlagValues, flag, flagValue, parseFlags } from "../go/flags.ts";
import type { Clock } from "../system/clock.ts";
import type { Fact } from "../system/fact.ts";
import type { Processes } from "../system/processes.ts";
import type { Colours } from "../text/colours.ts";
import type { Manual } from "./manual.ts";
import { adoptFlags, type RunningAgent } from "./running-agent.ts";
import { renderHelp } from "./usage.ts";
import { versionLine } from "./version.ts";

/** One file for each: `src/cli/commands/<name>.ts` exports `<name>Command`. */
export interface Command<Table extends FlagTable = FlagTable> extends Manual<Table> {
  /**
   * Returns the exit code: one of `EXIT_CODES`, unless `exitCodes` says otherwise. Throws `UsageError`, `SourceError`
   * and the errors that `isFailure` knows. A method, so that a command with its own table is a `Command` too.
   */
  run(input: CommandInput<Table>, io: CommandIo): Promise<number>;
}

/** The content of the command line. */
export interface CommandInput<Table extends FlagTable = FlagTable> {
  readonly values: FlagValues<Table>;
  /** The names of the given flags. */
  readonly given: ReadonlySet<string>;
  readonly words: readonly string[];
  readonly output: "text" | "json";
  /** The agent whose flags the command uses. */
  readonly agent: RunningAgent | undefined;
}

/** The world of a command; text is written as it is, without a line end added. */
export interface CommandIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly colours: Colours;
  readonly signal: AbortSignal;
  readonly platform: NodeJS.Platform;
  /** For waits that have an end. */
  readonly clock: Clock;
  /** All of standard input, once. Throws a `SourceError`. */
  readonly stdin: () => Promise<Uint8Array>;
  /** Other processes of the node whose proc is mounted there. */
  readonly processes: (proc: string) => Fact<Processes>;
}

/** The command line asks for something that does not exist; ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const OUTPUT = flag(wordType("text", "json"), "text", "The format of the answer: `text|json`.");

const NO_ADOPT = flag(
  boolType,
  false,
  "Whether to use the defaults for flags that are not given, not the values of the agent in this network namespace.",
);

/** A command's flags, with those that all commands have. */
export function allFlags<Table extends FlagTable>({
  flags,
  adopts,
}: Manual<Table>): Table & { readonly o: typeof OUTPUT; readonly "no-adopt"?: typeof NO_ADOPT } {
  return { ...flags, ...(adopts === undefined ? {} : { "no-adopt": NO_ADOPT }), o: OUTPUT };
}

/** Runs a command to its exit code. Throws only for a broken invariant. */
export async function runCommand(command: Command, args: readonly string[], io: CommandIo): Promise<number> {
  const table = allFlags(command);
  const parsed = parseFlags(table, args, "anywhere");
  if (parsed.kind === "help") {
    io.out(renderHelp(command, table));
    return 0;
  }
  if (parsed.kind === "version") {
    io.out(versionLine());
    return 0;
  }
  try {
    if (parsed.kind === "error")
      throw new UsageError(
        [parsed.message, fileHint(command, table, args) ?? parsed.hint].filter(Boolean).join(": "),
      );
    const { values, given, words } = parsed;
    if (command.operands === "" && words.length > 0) throw new UsageError(`unexpected argument: ${words[0]}`);
    if (io.platform !== "linux" && command.readsNode?.(values, words)) {
      io.err(`ip-masq-agent ${command.name}: ${elsewhere(io.platform)}\n`);
      return command.exitCodes?.failure ?? 1;
    }
    const proc = "no-adopt" in values && values["no-adopt"] === true ? undefined : command.adopts?.(values);
    const adopted =
      proc === undefined
        ? { values, agent: undefined, said: [] }
        : adoptFlags({ values, given }, command.flags, io.processes(proc), proc);
    for (const line of adopted.said) io.err(`ip-masq-agent ${command.name}: ${line}\n`);
    const input = { values: adopted.values, given, words, output: values.o, agent: adopted.agent };
    return await command.run(input, { ...io, stdin: once(io.stdin) });
  } catch (error) {
    return exitCodeFor(error, command, io);
  }
}

/** Why a command that looks at a node does nothing on another system than Linux. */
function elsewhere(platform: NodeJS.Platform): string {
  return `it looks at a Linux node, and this system is ${platform}: run it on the node, or in the agent's pod with kubectl exec`;
}

/** `--config` of other commands, given to one that takes files as words. */
function fileHint(
  { name, operands }: Command,
  table: FlagTable,
  args: readonly string[],
): string | undefined {
  const file = flagValue(args, "config");
  if (file === undefined || "config" in table || !operands.startsWith("FILE")) return undefined;
  return `files are words here: ip-masq-agent ${name} ${quote(file)}`;
}

/** A second reader would find nothing left, and take that for an empty file. */
function once(stdin: CommandIo["stdin"]): CommandIo["stdin"] {
  let isRead = false;
  return () => {
    if (isRead) throw new UsageError("only one file can be standard input");
    isRead = true;
    return stdin();
  };
}

function exitCodeFor(error: unknown, { name, exitCodes }: Command, { err, signal }: CommandIo): number {
  if (error instanceof UsageError) {
    err(`ip-masq-agent ${name}: ${error.message}\nSee "ip-masq-agent ${name} --help"\n`);
    return 2;
  }
  const isKnown = error instanceof SourceError || isFailure(error);
  // During shutdown pending work fails in many ways; none of them is worth reporting.
  if (!isKnown || signal.aborted) throw error;
  err(`ip-masq-agent ${name}: ${error.message}\n`);
  return exitCodes?.failure ?? 1;
}

export type CommandLoaders = Readonly<Record<string, () => Promise<Command>>>;

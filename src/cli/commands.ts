/**
 * The table of commands besides `run`. Each is loaded when it is called, so that starting `run` does not pay for
 * the others; a new command is one line here and one file beside this one.
 */
import type { Command } from "./command.ts";

export type CommandLoaders = Readonly<Record<string, () => Promise<Command>>>;

export const COMMANDS: CommandLoaders = {
  doctor: async () => (await import("./doctor.ts")).doctorCommand,
  diff: async () => (await import("./diff.ts")).diffCommand,
  explain: async () => (await import("./explain.ts")).explainCommand,
  version: async () => (await import("./version.ts")).versionCommand,
  help: async () => (await import("./help.ts")).helpCommand(COMMANDS),
};

/** Runs one of them in this process. */
export async function runNamed(name: string, args: readonly string[], signal: AbortSignal): Promise<number> {
  const load = COMMANDS[name];
  if (load === undefined) throw new Error(`no command ${name}`);
  const [{ runCommand }, { processIo }] = await Promise.all([import("./command.ts"), import("./io.ts")]);
  return runCommand(await load(), args, processIo(signal));
}

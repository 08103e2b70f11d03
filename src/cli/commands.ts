/**
 * The table of commands besides `run`. Each is loaded when it is called, so that starting `run` does not pay for the
 * others; a new command is one line here and one file in `commands/`.
 */

import type { CommandLoaders } from "./command.ts";

export const COMMANDS: CommandLoaders = {
  explain: async () => (await import("./commands/explain.ts")).explainCommand,
  diff: async () => (await import("./commands/diff.ts")).diffCommand,
  validate: async () => (await import("./commands/validate.ts")).validateCommand,
  render: async () => (await import("./commands/render.ts")).renderCommand,
  doctor: async () => (await import("./commands/doctor.ts")).doctorCommand,
  status: async () => (await import("./commands/status.ts")).statusCommand,
  ports: async () => (await import("./commands/ports.ts")).portsCommand,
  who: async () => (await import("./commands/who.ts")).whoCommand,
  report: async () => (await import("./commands/report.ts")).reportCommand,
  cleanup: async () => (await import("./commands/cleanup.ts")).cleanupCommand,
  version: async () => (await import("./commands/version.ts")).versionCommand,
  completion: async () => (await import("./completion/command.ts")).completionCommand(COMMANDS),
  man: async () => (await import("./commands/man.ts")).manCommand(COMMANDS),
  help: async () => (await import("./help.ts")).helpCommand(COMMANDS),
};

/** Runs one of them in this process. */
export async function runNamed(name: string, args: readonly string[], signal: AbortSignal): Promise<number> {
  const load = COMMANDS[name];
  if (load === undefined) throw new Error(`no command ${name}`);
  const [{ runCommand }, { processIo }] = await Promise.all([import("./command.ts"), import("./io.ts")]);
  const command = await load();
  const code = await runCommand(command, args, processIo(signal, command));
  await flush();
  return code;
}

/** A pipe takes 64 KiB at a time, and the exit loses everything that it has not taken. */
export async function flush(): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    await new Promise((resolve) => stream.write("", resolve));
}

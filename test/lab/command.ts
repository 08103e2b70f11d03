/** Runs short commands to their end. */
import { execFile, spawnSync } from "node:child_process";

export interface CommandOptions {
  readonly stdin?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** What a command said, whether it succeeded or not. */
export interface CommandResult {
  /** The exit code; a signal's name, or the system's code if the command could not be started. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

const OUTPUT_LIMIT = 64 * 1024 * 1024;

/** Runs a command; its exit code is part of the answer. */
export function attempt(
  file: string,
  args: readonly string[],
  { stdin, env }: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, maxBuffer: OUTPUT_LIMIT }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? "unknown"), stdout, stderr });
    });
    // A command that does not read its input says so by its exit code.
    child.stdin?.on("error", () => {});
    child.stdin?.end(stdin ?? "");
  });
}

/** Runs a command that must succeed; returns what it printed. */
export async function command(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await attempt(file, args, options);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: ${code}: ${stderr.trim()}`);
  return stdout;
}

/** Runs a command while nothing else may happen, as when the process is about to end; its failure is of no interest. */
export function commandNow(file: string, args: readonly string[], stdin = ""): string {
  return spawnSync(file, args, { encoding: "utf8", input: stdin }).stdout ?? "";
}

/** Runs the tools of a release, and says in one sentence why one failed. */
import { spawnSync } from "node:child_process";

/** A reason not to go on that the person who releases can do something about; its message is one sentence. */
export class ReleaseError extends Error {
  override readonly name = "ReleaseError";
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs a tool, which must succeed; returns what it printed. */
export function run(file: string, args: readonly string[], { env, cwd }: RunOptions = {}): string {
  const all = { ...process.env, ...env };
  const { error, status, stdout, stderr } = spawnSync(file, args, {
    ...{ env: all, cwd, encoding: "utf8", maxBuffer: 1 << 28 },
  });
  if (error !== undefined) throw new ReleaseError(`${file} cannot be run: ${error.message}`);
  if (status === 0) return stdout;
  const said = (stderr.trim() || stdout)
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^make(?:\[\d+\])?: /.test(line));
  // The last line says what failed; npm says it first.
  const why =
    said.find((line) => /^npm (?:error|ERR!) code/.test(line)) ?? said.at(-1) ?? `exit code ${status}`;
  throw new ReleaseError(`${[file, ...args.slice(0, 2)].join(" ")} failed: ${why.trim()}`);
}

/** Whether a tool is in PATH. */
export function isInstalled(tool: string): boolean {
  return spawnSync("sh", ["-c", `command -v "$0" >/dev/null`, tool]).status === 0;
}

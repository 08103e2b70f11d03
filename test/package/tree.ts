/** A copy of this tree as a commit of its own, with what is not committed yet, for a release to be made from. */
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface Copy {
  readonly directory: string;
  /** Runs a command in it; `env` goes over this process' own. */
  readonly run: (
    argv: readonly string[],
    env?: NodeJS.ProcessEnv,
  ) => { readonly code: number | null; readonly out: string; readonly err: string };
  readonly close: () => void;
}

const SETTINGS = { "commit.gpgSign": "false", "tag.gpgSign": "false", "core.hooksPath": "/dev/null" };

/** Settings as git takes them from the environment, before those of any file. */
function gitSettings(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const entries = Object.entries(settings).flatMap(([key, value], i) => [
    [`GIT_CONFIG_KEY_${i}`, key],
    [`GIT_CONFIG_VALUE_${i}`, value],
  ]);
  return { ...Object.fromEntries(entries), GIT_CONFIG_COUNT: String(Object.keys(settings).length) };
}

export function copyTree(): Copy {
  const directory = mkdtempSync(join(tmpdir(), "release-"));
  const run: Copy["run"] = ([file = "", ...args], env = {}) => {
    const { status, stdout, stderr } = spawnSync(file, args, {
      ...{ cwd: directory, encoding: "utf8", maxBuffer: 1 << 26 },
      // A workflow's own repository is no part of a test, nor are signatures and hooks that somebody's git asks for.
      env: { ...process.env, GITHUB_REPOSITORY: "", ...gitSettings(SETTINGS), ...env },
    });
    return { code: status, out: stdout, err: stderr };
  };
  const must = (...argv: readonly string[]) => {
    const { code, err } = run(argv);
    if (code !== 0) throw new Error(`${argv.join(" ")}: ${err}`);
  };
  must("git", "clone", "--quiet", "--shared", "--no-tags", "--no-checkout", resolve("."), directory);
  const list = "git ls-files -z --cached --others --exclude-standard";
  const pack = "tar --create --null --files-from=- --ignore-failed-read --file=-";
  must("sh", "-c", `(cd "$0" && ${list} | ${pack}) | tar --extract --file=-`, resolve("."));
  symlinkSync(resolve("node_modules"), join(directory, "node_modules"));
  appendFileSync(join(directory, ".git/info/exclude"), "node_modules\n");
  must("git", "add", "--all");
  must("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "copy", "--allow-empty");
  return { directory, run, close: () => rmSync(directory, { recursive: true, force: true }) };
}

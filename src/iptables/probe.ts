/**
 * Determines the capabilities of the installed tools. The version floors and the methods are kube-proxy's
 * (k8s.io/kubernetes/pkg/util/iptables), which the Go program uses; they are recorded in the area `tools`.
 */

import { CommandError } from "../system/command-error.ts";
import type { Answer, Run, Script } from "../system/script.ts";
import type { Capabilities } from "./planner.ts";
import { kernelInterface, type Tools } from "./tools.ts";

/** The assumed version of a tool that does not report one: the first with `-C`. */
const ASSUMED = "1.4.11";

const CHECK = [1, 4, 11];
const WAIT = [1, 4, 20];
const WAIT_SECONDS = [1, 4, 22];
const RESTORE_WAIT = [1, 6, 2];
const RANDOM_FULLY = [1, 6, 2];

const DEADLINE_MS = 5_000;

/** Any exit code is fine: only the output counts. */
const ANY_EXIT = Array.from({ length: 256 }, (_, code) => code);

/** Asks the tools of one family for their version. Throws only if the command cannot be started, or at shutdown. */
export async function probe(tools: Tools, run: Run): Promise<Capabilities> {
  const answer = await ask(tools.command, run);
  const version = parseVersion(answer) ?? ASSUMED;
  const atLeast = (floor: readonly number[]) => compareVersions(version.split(".").map(Number), floor) >= 0;
  return {
    version,
    variant: kernelInterface(answer.stdout + answer.stderr),
    check: atLeast(CHECK),
    wait: atLeast(WAIT_SECONDS) ? ["-w", "5"] : atLeast(WAIT) ? ["-w"] : [],
    restoreWait: atLeast(RESTORE_WAIT) ? ["-w", "5"] : await probeRestoreWait(tools, run),
    randomFully: atLeast(RANDOM_FULLY),
  };
}

/** Some distributions gave earlier restore tools both `--version` and `--wait`; the others know neither. */
async function probeRestoreWait(tools: Tools, run: Run): Promise<readonly string[]> {
  const answer = await ask(tools.restore, run);
  return parseVersion(answer) !== undefined ? ["-w"] : [];
}

/** Treats a killed tool as one that fails without output. The next pass asks a hanging one again. */
async function ask(file: string, run: Run): Promise<Answer> {
  try {
    return await run(versionScript(file));
  } catch (error) {
    if (!(error instanceof CommandError) || error.killedBy === undefined) throw error;
    return { exitCode: -1, stdout: "", stderr: error.stderr };
  }
}

function versionScript(file: string): Script {
  return {
    file,
    args: ["--version"],
    purpose: `asking ${file} for its version`,
    accept: ANY_EXIT,
    deadlineMs: DEADLINE_MS,
  };
}

/** `1.8.9` of `iptables v1.8.9 (nf_tables)`; at least two numbers, on either stream, as the Go program expects. */
function parseVersion({ exitCode, stdout, stderr }: Answer): string | undefined {
  return exitCode === 0 ? /v([0-9]+(?:\.[0-9]+)+)/.exec(stdout + stderr)?.[1] : undefined;
}

function compareVersions(a: readonly number[], b: readonly number[]): number {
  const at = [0, 1, 2].find((i) => (a[i] ?? 0) !== (b[i] ?? 0));
  return at === undefined ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

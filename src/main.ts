/**
 * The composition root: signals, command, exit code.
 *
 * Signals come first, before anything is loaded: as PID 1 there is no default action, and without our handler SIGUSR1
 * would make Node open its debugger, on a host-network pod that of the node.
 */
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { CommandLine } from "./cli/command-line.ts";
import { COMMANDS, runNamed } from "./cli/commands.ts";
import { EXIT_GRACE_MS } from "./system/grace.ts";

/** Signals that end the agent, with 128 + n; the rules stay. */
const ENDING: readonly NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGTERM"];
/**
 * Signals that make a Go program dump its stacks and exit with 2. SEGV, BUS, FPE and ILL would belong here, but a
 * handler in JavaScript would make a true fault an endless loop.
 */
const ABORTING: readonly NodeJS.Signals[] = ["SIGQUIT", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGSTKFLT"];
/** Signals that a Go program ignores, but whose default action would end a process. */
const IGNORED: readonly NodeJS.Signals[] = [
  "SIGUSR1",
  "SIGUSR2",
  "SIGPIPE",
  "SIGALRM",
  "SIGIO",
  "SIGPROF",
  "SIGVTALRM",
  "SIGPWR",
  "SIGXCPU",
  "SIGXFSZ",
];

const controller = new AbortController();
let exitCode: number | undefined;

function end(code: number): void {
  exitCode ??= code;
  controller.abort();
  setTimeout(() => process.exit(exitCode), EXIT_GRACE_MS).unref();
}

for (const name of IGNORED) process.on(name, () => {});
for (const name of ENDING) process.on(name, () => end(128 + constants.signals[name]));
for (const name of ABORTING) process.on(name, () => process.exit(2));

async function run(asked: CommandLine): Promise<number | undefined> {
  if (asked.kind === "agent") return (await import("./cli/run.ts")).runAgent(asked, controller.signal);
  if (asked.kind === "command") return runNamed(asked.name, asked.args, controller.signal);
  return (await import("./cli/front.ts")).showFront(asked, COMMANDS, isatty(2));
}

/**
 * Whether a person types the command line. A DaemonSet with `tty: true` has a terminal too, and must run: there the
 * agent is the container's first process, which a shell or `kubectl exec` never starts. (With `hostPID` too it is not
 * the first one: then only the command `run` makes the intention clear.)
 */
function isTyped(): boolean {
  return process.pid !== 1 && isatty(0) && isatty(2);
}

async function main(): Promise<void> {
  const { readCommandLine } = await import("./cli/command-line.ts");
  const asked = readCommandLine(process.argv.slice(2), Object.keys(COMMANDS), isTyped);
  const code = await run(asked).catch((error: unknown) => {
    // The signal cuts short any work that is still under way when the agent has to end.
    if (!controller.signal.aborted) throw error;
  });
  process.exit(exitCode ?? code ?? 0);
}

void main();

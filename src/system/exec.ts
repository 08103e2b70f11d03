/**
 * Runs one tool. The only place that makes child processes.
 *
 * A child leads its own process group, so that killing the group also kills the processes that the child started (a
 * wrapper script's `sleep` would otherwise keep our pipes open). Past the deadline the group gets SIGTERM, and SIGKILL
 * after a grace period: the libraries that do this on Node 20 need more code than these lines.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { CommandError, oneLine } from "./command-error.ts";
import { readPrivileges } from "./privileges.ts";
import type { Answer, Run, Script } from "./script.ts";

/** The time for a child to exit after SIGTERM. */
const GRACE_MS = 2_000;

/** The bytes of an error message that are worth keeping. */
const STDERR_LIMIT = 65_536;

/** The limit of a tool's output: 300,000 rules of iptables take as much. A tool without end would fill our memory. */
const STDOUT_LIMIT = 64 * 1024 * 1024;
const TOO_LONG = `more than ${STDOUT_LIMIT / 1024 / 1024} MiB of output, killed`;

/**
 * Runs `script` to its end. Throws a `CommandError` unless it exits with 0 or a code it accepts, and the signal's
 * reason once that is aborted.
 */
export async function run(script: Script, signal: AbortSignal): Promise<Answer> {
  const answer = await execute(script, signal);
  if (answer.exitCode === 1 && script.otherwise !== undefined) return run(script.otherwise, signal);
  if (answer.exitCode === 0 || script.accept?.includes(answer.exitCode) === true) return answer;
  const { exitCode, stderr } = answer;
  const why = `exit status ${exitCode}: ${oneLine(stderr)}`;
  throw new CommandError(script, { why, exitCode, stderr, privileges: readPrivileges });
}

/** Runs scripts of queries until one finds nothing: the next one's subject cannot exist either. */
export async function runUntilNo(scripts: readonly Script[], run: Run): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const script of scripts) {
    const answer = await run(script);
    answers.push(answer);
    if (answer.exitCode !== 0) break;
  }
  return answers;
}

function execute(script: Script, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stdin = script.stdin === undefined ? "ignore" : "pipe";
    // A synchronous throw (too many arguments, no memory) rejects as well, so that the caller sees a failure.
    const child = start(script, stdin);
    const end = endingOf(child, script.deadlineMs, signal);
    const stdout = collect(child.stdout, STDOUT_LIMIT, () => end.kill(TOO_LONG));
    const stderr = collect(child.stderr, STDERR_LIMIT);
    child.on("error", (cause: NodeJS.ErrnoException) => {
      end.clear();
      forget(child);
      const code = cause.code ?? "";
      reject(new CommandError(script, { why: `cannot start ${script.file}: ${code}`, code, cause }));
    });
    child.on("close", (exitCode, killedBy) => {
      end.clear();
      forget(child);
      const ours = end.reason();
      const isAnswer = exitCode !== null && ours !== TOO_LONG;
      if (isAnswer) return resolve({ exitCode, stdout: stdout(), stderr: stderr() });
      // An agent that is shutting down has no failure to report.
      if (signal.aborted) return reject(signal.reason);
      const complaint = stderr();
      const why = `${ours ?? `signal: ${killedBy}`}: ${oneLine(complaint)}`;
      const byOther = ours === undefined ? String(killedBy) : undefined;
      reject(new CommandError(script, { why, killedBy: byOther, stderr: complaint }));
    });
    // A tool that exits without reading its input breaks the pipe; its exit code says the rest.
    child.stdin?.on("error", () => {});
    child.stdin?.end(script.stdin);
  });
}

/** Running tools. None outlives the agent, although a process group of its own would. */
const running = new Set<ChildProcess>();

function start(script: Script, stdin: "ignore" | "pipe"): ChildProcess {
  try {
    const child = spawn(script.file, script.args, { detached: true, stdio: [stdin, "pipe", "pipe"] });
    if (running.size === 0) process.once("exit", killRunning);
    running.add(child);
    return child;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CommandError(script, { why: `cannot start ${script.file}: ${code}`, code, cause });
  }
}

/** Collects a stream's text, to be taken once; beyond `limit` bytes it reads and drops, and calls back. */
function collect(stream: NodeJS.ReadableStream | null, limit: number, exceeded = () => {}): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on("data", (chunk: Buffer) => {
    if (size < limit) chunks.push(chunk);
    else exceeded();
    size += chunk.length;
  });
  return () => Buffer.concat(chunks.splice(0)).toString("utf8");
}

/** Kills a child's process group at the deadline or when the agent ends. */
function endingOf(child: ChildProcess, deadlineMs: number, signal: AbortSignal) {
  let reason: string | undefined;
  let grace: NodeJS.Timeout | undefined;
  const kill = (why: string) => {
    if (reason !== undefined) return;
    reason = why;
    killGroup(child, "SIGTERM");
    grace = setTimeout(() => {
      killGroup(child, "SIGKILL");
      // A process that left the group may hold the pipes for ever; its output no longer matters.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, GRACE_MS);
  };
  const onAbort = () => kill("stopping");
  const deadline = setTimeout(() => kill(`no end after ${deadlineMs} ms, killed`), deadlineMs);
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    kill,
    reason: () => reason,
    clear: () => {
      clearTimeout(deadline);
      clearTimeout(grace);
      signal.removeEventListener("abort", onAbort);
    },
  };
}

function forget(child: ChildProcess): void {
  running.delete(child);
  if (running.size === 0) process.off("exit", killRunning);
}

function killRunning(): void {
  for (const child of running) killGroup(child, "SIGKILL");
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: it has just exited.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

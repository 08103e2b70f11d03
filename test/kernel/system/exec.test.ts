/** How child processes are run and ended; real ones, since it is the kernel's behaviour that counts. */

import { describe, expect, test } from "vitest";
import { renderNeed } from "../../../src/system/capabilities.ts";
import { CommandError } from "../../../src/system/command-error.ts";
import { run } from "../../../src/system/exec.ts";
import { readPrivileges } from "../../../src/system/privileges.ts";
import type { Script } from "../../../src/system/script.ts";
import { eventually } from "../../lab/network/lab.ts";
import { isAlive } from "../../lab/network/usage.ts";

const never = new AbortController().signal;

/** A shell script; a minute is for ever, unless it is the deadline that is tested. */
function shell(text: string, more: Partial<Script> = {}): Script {
  return { file: "/bin/sh", args: ["-c", text], purpose: "testing", deadlineMs: 60_000, ...more };
}

async function failure(script: Script, signal = never): Promise<CommandError> {
  const error = await run(script, signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(CommandError);
  return error as CommandError;
}

/** Runs a script that prints a process id first; returns it with the error. */
async function failureWithPid(text: string, deadlineMs: number) {
  const startedAt = performance.now();
  // What a script that is ended has printed is not kept, but its complaint is.
  const error = await failure(shell(text, { deadlineMs }));
  const pid = Number(/\d+/.exec(error.stderr)?.[0]);
  expect(pid).toBeGreaterThan(0);
  return { error, pid, tookMs: performance.now() - startedAt };
}

describe("answers", () => {
  test("output, and an exit code that is an answer", async () => {
    const script = shell("echo out; echo err >&2; exit 3", { accept: [3] });
    expect(await run(script, never)).toEqual({ exitCode: 3, stdout: "out\n", stderr: "err\n" });
  });

  test("an exit code that is none fails, with the tool's complaint on one line", async () => {
    const error = await failure(shell("echo one >&2; echo two >&2; exit 4"));
    expect(error.message).toBe("error testing: exit status 4: one; two");
    expect(error.exitCode).toBe(4);
  });

  test("otherwise: run only upon exit code 1, and its failure is what counts", async () => {
    const otherwise = shell("exit 7");
    expect((await run(shell("exit 0", { otherwise }), never)).exitCode).toBe(0);
    expect((await failure(shell("exit 1", { otherwise }))).exitCode).toBe(7);
    expect((await failure(shell("exit 2", { otherwise }))).exitCode).toBe(2);
  });

  test("a tool killed by another process", async () => {
    expect((await failure(shell("kill -9 $$"))).message).toMatch(/SIGKILL/);
  });

  test("much input to a tool that reads it, and much output", async () => {
    const stdin = "0123456789abcdef".repeat(65_536);
    expect((await run(shell("cat", { stdin }), never)).stdout).toBe(stdin);
  });

  test("more output than any tool has ends it, and is an error", async () => {
    const error = await failure(shell("exec cat /dev/zero", { deadlineMs: 60_000 }));
    expect(error.message).toBe("error testing: more than 64 MiB of output, killed: ");
    const fast = await failure(shell("head -c 70000000 /dev/zero; exit 0"));
    expect(fast.message).toMatch(/more than 64 MiB of output/);
  });

  test("a long complaint is cut", async () => {
    const error = await failure(shell("head -c 50000 /dev/zero | tr '\\0' x >&2; exit 1"));
    expect(error.message).toMatch(/^error testing: exit status 1: x{1024}\.\.\. \(48976 characters more\)$/);
  });

  test("much input to a tool that does not read it: its exit code says the rest", async () => {
    const stdin = "x".repeat(1_048_576);
    expect((await run(shell("exit 0", { stdin }), never)).exitCode).toBe(0);
    expect((await failure(shell("exit 5", { stdin }))).exitCode).toBe(5);
  });
});

describe("failures that an operator can do something about", () => {
  test("a tool that is not installed", async () => {
    const error = await failure({ file: "no-such-tool", args: [], purpose: "testing", deadlineMs: 1_000 });
    expect(error.code).toBe("ENOENT");
    expect(error.message).toBe(
      'error testing: cannot start no-such-tool: ENOENT (no-such-tool is not in PATH: install it, e.g. with "apt-get install iptables", or see --iptables-mode)',
    );
  });

  test("a tool that may not: what this very process lacks", async () => {
    const { message } = await failure(shell("echo 'Permission denied (you must be root)' >&2; exit 4"));
    const need = renderNeed(readPrivileges());
    expect(need).toMatch(/NET_ADMIN|NET_RAW/);
    expect(message).toBe(`error testing: exit status 4: Permission denied (you must be root) (${need})`);
  });

  test.each(["Read-only file system", "Permission denied"])(
    "a lock that cannot be opened: %s",
    async (why) => {
      const complaint = `Fatal: can't open lock file /run/xtables.lock: ${why}`;
      expect((await failure(shell(`echo "${complaint}" >&2; exit 4`))).message).toMatch(
        /lock: .*iptables-legacy needs it; .* mount the host's \/run\/xtables\.lock, writable\)$/,
      );
    },
  );

  test("a lock that another process holds", async () => {
    const complaint = "Another app is currently holding the xtables lock; still 0s 0us time ahead";
    expect((await failure(shell(`echo '${complaint}' >&2; exit 4`))).message).toMatch(
      /run\/xtables\.lock\)$/,
    );
  });
});

/** In this time a shell does its few steps; on a busy machine perhaps in the next attempt. */
const DEADLINE_MS = 500;
const GRACE_MS = 2_000;

describe.concurrent("deadlines", () => {
  test("a tool that hangs is ended, and what it started with it", () =>
    eventually(async () => {
      const { error, pid, tookMs } = await failureWithPid("sleep 600 & echo $! >&2; wait", DEADLINE_MS);
      expect(error.message).toMatch(/no end after 500 ms/);
      // By SIGTERM: SIGKILL would come later.
      expect(tookMs).toBeLessThan(DEADLINE_MS + GRACE_MS);
      await eventually(() => expect(isAlive(pid)).toBe(false));
    }));

  test("a tool that ignores SIGTERM is killed after a grace period", () =>
    eventually(async () => {
      const { error, pid, tookMs } = await failureWithPid(
        "trap '' TERM; echo $$ >&2; while :; do sleep 0.1; done",
        DEADLINE_MS,
      );
      expect(error.message).toMatch(/no end after 500 ms/);
      expect(tookMs).toBeGreaterThan(GRACE_MS);
      await eventually(() => expect(isAlive(pid)).toBe(false));
    }));

  test("a tool that ends but leaves a process with its pipes: the deadline holds, the answer counts", () =>
    eventually(async () => {
      const answer = await run(shell("sleep 600 & echo $!", { deadlineMs: DEADLINE_MS }), never);
      expect(answer.exitCode).toBe(0);
      await eventually(() => expect(isAlive(Number(answer.stdout))).toBe(false));
    }));

  test("a process that has left the group cannot hold us either", () =>
    eventually(async () => {
      const answer = await run(shell("setsid sleep 600 & echo $!", { deadlineMs: DEADLINE_MS }), never);
      expect(isAlive(Number(answer.stdout))).toBe(true);
      process.kill(Number(answer.stdout));
    }));
});

describe("stopping", () => {
  test("ends the tool, and is no failure of it", async () => {
    const stop = new AbortController();
    const running = run(shell("sleep 60"), stop.signal);
    const reason = new Error("stopping");
    stop.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  test("starts nothing any more", async () => {
    await expect(run(shell("exit 0"), AbortSignal.abort(new Error("stopped")))).rejects.toThrow("stopped");
  });
});

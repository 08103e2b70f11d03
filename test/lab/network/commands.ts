/** Our commands in a namespace, without a process for each: the handle of the processes of commands-runner.ts. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { type CommandResult, command } from "../command.ts";
import type { Reply, Request } from "./commands-runner.ts";
import { buildNetlinkRunner } from "./netlink-runner.ts";

const DIRECTORY = "build/commands";
const SCRIPT = join(DIRECTORY, "commands.cjs");

/** Builds what the processes run; Vitest calls it once, before the tests. */
export async function setup(): Promise<void> {
  if (process.getuid?.() !== 0) return;
  mkdirSync(DIRECTORY, { recursive: true });
  const headers = createRequire(import.meta.url).resolve("node-api-headers/package.json");
  const addon = join(DIRECTORY, "setns.node");
  const flags = ["-shared", "-fPIC", "-Wall", "-Werror", "-I", join(dirname(headers), "include")];
  await Promise.all([
    buildNetlinkRunner("commands-runner.ts", SCRIPT),
    command("cc", [...flags, "-o", `${addon}.new`, "test/lab/network/setns.c"]),
  ]);
  renameSync(`${addon}.new`, addon);
}

interface Process {
  readonly ask: (request: Request) => Promise<Reply>;
}

const idle: Process[] = [];

/** Runs a command in a process that has nothing to do, or in a new one: some commands wait for seconds. */
export async function runHere(request: Request): Promise<CommandResult> {
  const one = idle.pop() ?? start();
  const reply = await one.ask(request);
  idle.push(one);
  if ("error" in reply) throw new Error(`ip-masq-agent ${request.args.join(" ")}: ${reply.error}`);
  return reply;
}

/** A process that ends with this one, and does not keep it. */
function start(): Process {
  const child: ChildProcess = spawn(process.execPath, [SCRIPT], { stdio: ["pipe", "pipe", "inherit"] });
  const replies = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const streams = [child.stdin, child.stdout] as unknown as {
    readonly ref: () => void;
    readonly unref: () => void;
  }[];
  const hold = (held: boolean) => {
    for (const one of [child, ...streams]) held ? one.ref() : one.unref();
  };
  return {
    ask: async (request) => {
      hold(true);
      child.stdin?.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await replies.next();
      hold(false);
      if (done === true) throw new Error("the process for commands has ended");
      return JSON.parse(value) as Reply;
    },
  };
}

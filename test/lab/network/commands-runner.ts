/**
 * A process that runs our commands one after another, each in the network namespace that it is asked for: to start a process for
 * each takes longer than most commands do. Takes lines of JSON with a request, and answers each with a line; ends with its stdin.
 */
import { openSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { runCommand } from "../../../src/cli/command.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { readAll } from "../../../src/cli/io.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { readProcesses } from "../../../src/system/processes.ts";
import { createColours } from "../../../src/text/colours.ts";
import { printable } from "../../../src/text/printable.ts";
import type { CommandResult } from "../command.ts";

export interface Request {
  /** The command's name, then its arguments. */
  readonly args: readonly string[];
  /** The name of the network namespace. */
  readonly namespace: string;
  /** In addition to the process' own. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
}

/** A broken invariant has no result. */
export type Reply = CommandResult | { readonly error: string };

async function run({ args: [name = "", ...args], stdin }: Request): Promise<CommandResult> {
  const command = await COMMANDS[name]?.();
  if (command === undefined) throw new Error(`no command ${name}`);
  const { signal } = new AbortController();
  let stdout = "";
  let stderr = "";
  const code = await runCommand(command, args, {
    out: (text) => {
      stdout += command.writesScript === true ? text : printable(text);
    },
    err: (text) => {
      stderr += printable(text);
    },
    colours: createColours(false),
    signal,
    platform: process.platform,
    clock: systemClock,
    stdin: () => readAll(Readable.from([Buffer.from(stdin)]), signal),
    processes: readProcesses,
  });
  return { code, stdout, stderr };
}

const addon = { exports: {} as { readonly enter: (path: string) => void } };
const home = `/proc/self/fd/${openSync("/proc/self/ns/net", "r")}`;

async function answer(request: Request): Promise<Reply> {
  // Each request sets the same ones.
  Object.assign(process.env, request.env);
  try {
    addon.exports.enter(`/run/netns/${request.namespace}`);
    return await run(request);
  } catch (error) {
    return { error: String(error instanceof Error ? error.stack : error) };
  } finally {
    // A namespace that has a process in it does not end.
    addon.exports.enter(home);
  }
}

async function serve(): Promise<void> {
  process.dlopen(addon, join(__dirname, "setns.node"));
  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}

void serve();

/** Network namespaces for tests of src/netlink: each is kept by a runner in it, and ends with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TableName } from "../../../src/netlink/operations.ts";
import { buildNetlinkRunner } from "./netlink-runner.ts";
import { type Calls, fromJson, type Reply, toJson } from "./nftables-runner.ts";

export interface Namespace {
  /** Asks the runner; what it throws is thrown with the same name, code and operation. */
  readonly call: <K extends keyof Calls>(name: K, argument: Calls[K][0]) => Promise<Calls[K][1]>;
  /** `nft -f` of a script. */
  readonly script: (text: string) => Promise<string>;
  /** What nft lists of a table, as text and as JSON without what differs from one making to another. */
  readonly listing: (table: TableName) => Promise<{ readonly text: string; readonly json: unknown }>;
}

export interface Runner {
  /** Makes a namespace; `wrapper` is put before the runner's command line. */
  readonly enter: (wrapper?: readonly string[]) => Namespace;
  /** Starts a runner in a namespace that is there; `prefix` leads into it. */
  readonly inside: (prefix: readonly string[]) => Namespace;
  /** Ends the namespaces that were made. */
  readonly leave: () => Promise<void>;
  readonly remove: () => void;
}

/** Bundles the runner, with the library and its native part, into a directory of its own. */
export async function buildRunner(): Promise<Runner> {
  const directory = mkdtempSync(join(tmpdir(), "nftables-"));
  // The runner without privileges has to read it too.
  await chmod(directory, 0o755);
  const outfile = join(directory, "runner.cjs");
  await buildNetlinkRunner("nftables-runner.ts", outfile);
  const running = new Set<ChildProcess>();
  return {
    enter: (wrapper = []) =>
      start(["unshare", "-n", ...wrapper, process.execPath, outfile, "serve"], running),
    inside: (prefix) => start([...prefix, process.execPath, outfile, "serve"], running),
    leave: async () => {
      await Promise.all([...running].map(end));
      running.clear();
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}

function start([file = "", ...args]: readonly string[], running: Set<ChildProcess>): Namespace {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  running.add(child);
  const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const call: Namespace["call"] = async (name, argument) => {
    child.stdin.write(`${toJson({ call: name, argument })}\n`);
    const { value, done } = await replies.next();
    if (done === true) throw new Error("the runner has ended");
    return answerOf(fromJson(value) as Reply) as Calls[typeof name][1];
  };
  return {
    call,
    script: (stdin) => call("nft", { args: ["-f", "-"], stdin }),
    listing: async ({ family, table }) => {
      const names = ["list", "table", family, table];
      const text = await call("nft", { args: names, stdin: "" });
      const json = JSON.parse(await call("nft", { args: ["-j", ...names], stdin: "" }));
      return { text, json: withoutHandles(json) };
    },
  };
}

function answerOf({ value, error }: Reply): unknown {
  if (error === undefined) return value;
  throw Object.assign(new Error(error.message), error);
}

/** Handles tell in which order things were made, and the first entry nft's version. */
function withoutHandles(json: unknown): unknown {
  const entries = (json as { nftables: unknown[] }).nftables.slice(1);
  return JSON.parse(JSON.stringify(entries, (key, value) => (key === "handle" ? undefined : value)));
}

/** The runner ends with its stdin. */
function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.stdin?.end();
  });
}

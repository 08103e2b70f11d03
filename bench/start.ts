/** From the agent's start to the first rules, beside a bare `node -e 0` of the same Node, and its memory when idle. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { agentBundle } from "../test/lab/network/lab.ts";
import { atTheEnd } from "./end.ts";
import { median } from "./statistics.ts";

/** Start to rules and idle memory, in a network namespace of their own. */
export async function measureStart(node: string, directory: string): Promise<void> {
  const bare: number[] = [];
  const full: number[] = [];
  for (let i = 0; i < 15; i++) {
    const startedAt = performance.now();
    spawnSync(node, ["-e", "0"]);
    bare.push(performance.now() - startedAt);
    full.push(await startOnce(node, directory));
  }
  const extra = full.map((ms, i) => ms - (bare[i] ?? 0));
  console.log(
    `start to rules: ${median(full).toFixed(0)} ms, bare node -e 0: ${median(bare).toFixed(0)} ms, difference: ${median(extra).toFixed(0)} ms, ratio ${(median(full) / median(bare)).toFixed(2)}`,
  );
  console.log(`idle: ${await idleMemory(node, directory)}`);
}

interface StartedAgent {
  readonly pid: number;
  /** Resolves with the line that says that the rules are programmed. */
  readonly programmed: Promise<void>;
  readonly kill: () => Promise<void>;
}

function startAgent(node: string, directory: string): StartedAgent {
  const args = ["-n", node, agentBundle(), `--config=${join(directory, "none")}`];
  const child = spawn("unshare", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((done) => child.on("exit", () => done()));
  const kill = atTheEnd(() => child.kill("SIGKILL"));
  return {
    // `unshare` without --fork becomes the agent.
    pid: child.pid ?? -1,
    programmed: programmed(child),
    kill: () => {
      kill();
      return ended;
    },
  };
}

/** Milliseconds from spawn to the line that says that the rules are programmed. */
async function startOnce(node: string, directory: string): Promise<number> {
  const startedAt = performance.now();
  const agent = startAgent(node, directory);
  await agent.programmed;
  const durationMs = performance.now() - startedAt;
  await agent.kill();
  return durationMs;
}

function programmed(agent: ChildProcessByStdio<null, null, Readable>): Promise<void> {
  return new Promise((done, fail) => {
    let log = "";
    agent.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("programmed chain")) done();
    });
    agent.on("exit", () => fail(new Error(`the agent ended: ${log}`)));
  });
}

async function idleMemory(node: string, directory: string): Promise<string> {
  const agent = startAgent(node, directory);
  await agent.programmed;
  await new Promise((done) => setTimeout(done, 3000));
  const rollup = readFileSync(`/proc/${agent.pid}/smaps_rollup`, "utf8");
  await agent.kill();
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) / 1024).toFixed(1);
  return `${megabytes("Rss")} MB RSS, ${megabytes("Anonymous")} MB anonymous`;
}

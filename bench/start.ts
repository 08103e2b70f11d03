/** From the agent's start to the first rules, beside a bare `node -e 0` of the same Node, and its memory when idle. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { memoryOf } from "../test/lab/network/usage.ts";
import { atTheEnd } from "./end.ts";
import { inTurn, type Side, titled } from "./sides.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
const SETTLED_MS = 3_000;

/** Start to rules and idle memory, each in a network namespace of its own. */
export async function measureStart(sides: readonly Side[], directory: string): Promise<void> {
  const [node = ""] = sides[0]?.command ?? [];
  const bare: number[] = [];
  const times = new Map(sides.map((side) => [side, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    spawnSync(node, ["-e", "0"]);
    bare.push(performance.now() - startedAt);
    for (const side of inTurn(sides, round)) times.get(side)?.push(await startOnce(side, directory));
  }
  for (const [side, all] of times) {
    const extra = median(all.map((ms, round) => ms - (bare[round] ?? 0))).toFixed(0);
    const [own, of] = [median(all), median(bare)];
    console.log(
      `${titled("start to rules", side)}: ${own.toFixed(0)} ms, bare node -e 0: ${of.toFixed(0)} ms, difference: ${extra} ms, ratio ${(own / of).toFixed(2)}`,
    );
  }
  const [ours = [], others] = [...times.values()];
  if (others !== undefined) {
    const ratio = median(ours.map((ms, round) => ms / (others[round] ?? Number.NaN)));
    console.log(`start to rules, median of the ratios this to against: ${ratio.toFixed(3)}`);
  }
  for (const side of sides) console.log(`${titled("idle", side)}: ${await idleMemory(side, directory)}`);
}

interface StartedAgent {
  readonly pid: number;
  /** Resolves with the line that says that the rules are programmed. */
  readonly programmed: Promise<void>;
  readonly kill: () => Promise<void>;
}

function startAgent({ command }: Side, directory: string): StartedAgent {
  const args = ["-n", ...command, `--config=${join(directory, "none")}`];
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
async function startOnce(side: Side, directory: string): Promise<number> {
  const startedAt = performance.now();
  const agent = startAgent(side, directory);
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

async function idleMemory(side: Side, directory: string): Promise<string> {
  const agent = startAgent(side, directory);
  await agent.programmed;
  await new Promise((done) => setTimeout(done, SETTLED_MS));
  const { residentMb, anonymousMb } = memoryOf(agent.pid);
  await agent.kill();
  return `${residentMb.toFixed(1)} MB RSS, ${anonymousMb.toFixed(1)} MB anonymous`;
}

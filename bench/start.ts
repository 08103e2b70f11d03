/** From the agent's start to the first rules, beside a bare `node -e 0` of the same Node, and its memory when idle. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import { atTheEnd } from "../test/lab/network/remains.ts";
import { memoryOf } from "../test/lab/network/usage.ts";
import { untilLogged } from "./agent.ts";
import { inTurn, type Run, type Side, titled } from "./sides.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
const SETTLED_MS = 3_000;

/** Start to rules and idle memory, each in a network namespace of its own. */
export async function measureStart({ sides, directory }: Run): Promise<void> {
  const processes = createProcesses();
  atTheEnd(processes.kill);
  const begin = async ({ node, bundle }: Side): Promise<{ agent: Agent; ms: number }> => {
    const startedAt = performance.now();
    // `unshare` without --fork becomes the agent.
    const words = ["unshare", "-n", node, bundle, `--config=${join(directory, "none")}`];
    const agent = processes.startAgent(words, process.env);
    await untilLogged(agent, (log) => log.includes("programmed chain") || undefined);
    return { agent, ms: performance.now() - startedAt };
  };
  const bare: number[] = [];
  const times = new Map(sides.map((side) => [side, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    spawnSync(sides[0].node, ["-e", "0"]);
    bare.push(performance.now() - startedAt);
    for (const side of inTurn(sides, round)) {
      const { agent, ms } = await begin(side);
      times.get(side)?.push(ms);
      await agent.end("SIGKILL");
    }
  }
  for (const [side, all] of times) printTimes(titled("start to rules", side), all, bare);
  const [ours = [], others] = [...times.values()];
  if (others !== undefined) {
    const ratio = median(ours.map((ms, round) => ms / (others[round] ?? Number.NaN)));
    console.log(`start to rules, median of the ratios this to against: ${ratio.toFixed(3)}`);
  }
  for (const side of sides) {
    const { agent } = await begin(side);
    await pause(SETTLED_MS);
    const { residentMb, anonymousMb } = memoryOf(agent.pid);
    await agent.end("SIGKILL");
    console.log(
      `${titled("idle", side)}: ${residentMb.toFixed(1)} MB RSS, ${anonymousMb.toFixed(1)} MB anonymous`,
    );
  }
}

function printTimes(title: string, all: readonly number[], bare: readonly number[]): void {
  const extra = median(all.map((ms, round) => ms - (bare[round] ?? 0))).toFixed(0);
  const [own, of] = [median(all), median(bare)];
  console.log(
    `${title}: ${own.toFixed(0)} ms, bare node -e 0: ${of.toFixed(0)} ms, difference: ${extra} ms, ratio ${(own / of).toFixed(2)}`,
  );
}

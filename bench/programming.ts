/**
 * The cost of programming: the agent's time from a configuration that is swapped in, as the kubelet does it, to the line which
 * says that the rules are in the kernel, and its peak memory.
 *
 * The time contains the wait until the agent notices the new configuration, and reading and checking it; the line itself has
 * the time of the pass alone.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createProcesses } from "../test/lab/network/processes.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { untilLogged } from "./agent.ts";
import { cidrList, withOneChanged } from "./lists.ts";
import type { Side } from "./sides.ts";
import { median } from "./statistics.ts";
import type { BenchNode, Testbed } from "./testbed.ts";

/** The cost of one change: from the swap to the line, the pass alone, and the most memory. */
export interface Programming {
  readonly ms: number;
  readonly passMs: number;
  readonly peakMb: number;
}

/** The cost of a whole list, and of one changed entry. */
export interface AgentCost {
  readonly full: Programming;
  readonly one: Programming;
}

/** Nothing is repeated once it has taken so long: the long chains take seconds each time. */
const ENOUGH_MS = 10_000;
let agents = 0;

/** Programs a list by the agent, several times, and leaves it in the kernel. Median times, highest peaks. */
export async function programByAgent(
  { directory, env }: Testbed,
  { prefix }: BenchNode,
  side: Side,
  flags: readonly string[],
  count: number,
  repeats: number,
): Promise<AgentCost> {
  const volume = createVolume(join(directory, `config-${++agents}`));
  const write = (list: readonly string[]) =>
    volume.write(JSON.stringify({ resyncInterval: "100ms", cidrLimit: 1_000_000, nonMasqueradeCIDRs: list }));
  const processes = createProcesses();
  try {
    // Not the list that a killed agent may have left: the first pass would then have nothing to do.
    write(["100.64.0.0/24"]);
    const words = [...prefix, side.node, side.bundle, "run", `--config=${volume.path}`, ...flags];
    const agent = processes.startAgent(words, env);
    let lines = 1;
    const nextLine = () =>
      untilLogged(agent, (log) => {
        const passes = [...log.matchAll(/: programmed .* in (\d+) ms$/gm)];
        return passes.length < lines ? undefined : Number(passes.at(-1)?.[1]);
      });
    await nextLine();
    const change = async (list: readonly string[]): Promise<Programming> => {
      lines++;
      // Forgets the peak so far.
      writeFileSync(`/proc/${agent.pid}/clear_refs`, "5");
      const startedAt = performance.now();
      write(list);
      const passMs = await nextLine();
      return { ms: performance.now() - startedAt, passMs, peakMb: peakMb(agent.pid) };
    };
    const list = cidrList(count);
    if (count === 0) return middleOf([await change(list)], []);
    const full = await repeat(repeats, async () => {
      await change([]);
      return [await change(list)];
    });
    const one = await repeat(repeats, async (i) => [
      await change(withOneChanged(list, i)),
      await change(list),
    ]);
    return middleOf(full, one);
  } finally {
    await processes.end();
  }
}

async function repeat(times: number, measure: (i: number) => Promise<Programming[]>): Promise<Programming[]> {
  const startedAt = performance.now();
  const all = await measure(0);
  for (let i = 1; i < times && performance.now() - startedAt < ENOUGH_MS; i++)
    all.push(...(await measure(i)));
  return all;
}

function middleOf(full: readonly Programming[], one: readonly Programming[]): AgentCost {
  const middle = (all: readonly Programming[]) => ({
    ms: median(all.map(({ ms }) => ms)),
    passMs: median(all.map(({ passMs }) => passMs)),
    peakMb: Math.max(...all.map(({ peakMb }) => peakMb)),
  });
  return { full: middle(full), one: middle(one) };
}

/** The most memory that a process has had resident. */
function peakMb(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

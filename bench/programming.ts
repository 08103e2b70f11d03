/**
 * The cost of programming: the agent's time from a configuration that is swapped in, as the kubelet does it, to the line which
 * says that the rules are in the kernel, and its peak memory.
 *
 * The time contains the wait until the agent notices the new configuration, and reading and checking it; the line itself has
 * the time of the pass alone.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { cidrList, configText, withOneChanged } from "./lists.ts";
import type { Side } from "./sides.ts";
import { median } from "./statistics.ts";
import type { BenchNode, Testbed } from "./testbed.ts";

/** The cost of one change. */
export interface Programming {
  /** From the swap to the line. */
  readonly ms: number;
  /** The time of the pass, as the line has it. */
  readonly passMs: number;
  readonly peakMb: number;
}

export interface AgentCost {
  readonly full: Programming;
  readonly one: Programming;
}

const DEADLINE_MS = 120_000;
/** Nothing is repeated once it has taken so long: the long chains take seconds each time. */
const ENOUGH_MS = 10_000;
let agents = 0;

/** Programs a list by the agent, several times, and leaves it in the kernel. Median times, highest peaks. */
export async function programByAgent(
  testbed: Testbed,
  node: BenchNode,
  side: Side,
  flags: readonly string[],
  count: number,
  repeats: number,
): Promise<AgentCost> {
  const list = cidrList(count);
  const full: Programming[] = [];
  const one: Programming[] = [];
  let startedAt = performance.now();
  const repeating = (i: number) =>
    count > 0 && (i === 0 || (i < repeats && performance.now() - startedAt < ENOUGH_MS));
  await withAgent(testbed, [...node.prefix, ...side.command], flags, async (change) => {
    if (count === 0) full.push(await change(configText(list)));
    for (let i = 0; repeating(i); i++) {
      await change(configText([]));
      full.push(await change(configText(list)));
    }
    startedAt = performance.now();
    for (let i = 0; repeating(i); i++) {
      one.push(await change(configText(withOneChanged(list, i))));
      one.push(await change(configText(list)));
    }
  });
  return { full: middle(full), one: middle(one) };
}

type Change = (text: string) => Promise<Programming>;

/** Runs an agent with no list in a node; `use` changes its configuration. */
async function withAgent(
  testbed: Testbed,
  command: readonly string[],
  flags: readonly string[],
  use: (change: Change) => Promise<void>,
): Promise<void> {
  const volume = createVolume(join(testbed.directory, `config-${++agents}`));
  const processes = createProcesses();
  try {
    // Not the list that a killed agent may have left: the first pass would then have nothing to do.
    volume.write(configText(["100.64.0.0/24"]));
    const agent = processes.startAgent([...command, "run", `--config=${volume.path}`, ...flags], testbed.env);
    await untilLines(agent, 1);
    await use(async (text) => {
      const lines = linesOf(agent).length;
      // Forgets the peak so far.
      writeFileSync(`/proc/${agent.pid}/clear_refs`, "5");
      const startedAt = performance.now();
      volume.write(text);
      const passMs = await untilLines(agent, lines + 1);
      const ms = performance.now() - startedAt;
      return { ms, passMs, peakMb: peakMb(agent.pid) };
    });
  } finally {
    await processes.end();
  }
}

/** The milliseconds of each pass that has programmed rules, from the agent's log. */
function linesOf(agent: Agent): number[] {
  return [...agent.log().matchAll(/: programmed .* in (\d+) ms$/gm)].map(([, ms]) => Number(ms));
}

/** Waits for so many lines; returns the last one's number. */
async function untilLines(agent: Agent, lines: number): Promise<number> {
  const deadline = performance.now() + DEADLINE_MS;
  let ending: number | string | undefined;
  void agent.ended.then((how) => {
    ending = how;
  });
  for (;;) {
    const found = linesOf(agent);
    if (found.length >= lines) return found.at(-1) ?? Number.NaN;
    const why = ending === undefined ? `no rules within ${DEADLINE_MS} ms` : `the agent ended, ${ending}`;
    if (ending !== undefined || performance.now() > deadline)
      throw new Error(`${why}: ${agent.log().slice(-1_000)}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function middle(all: readonly Programming[]): Programming {
  return {
    ms: median(all.map(({ ms }) => ms)),
    passMs: median(all.map(({ passMs }) => passMs)),
    peakMb: Math.max(...all.map(({ peakMb }) => peakMb)),
  };
}

/** The most memory that a process has had resident. */
function peakMb(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

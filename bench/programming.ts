/**
 * What programming costs: the agent's time from a configuration that is swapped in, as the kubelet does it, to the line which
 * says that the rules are in the kernel, and its peak memory; beside it, the same list by the packet filter's own tools.
 *
 * The time contains the wait until the agent looks at its configuration, and reading and checking it; the last pass alone
 * is what the line itself says.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentBundle } from "../test/lab/network/lab.ts";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { type BenchBackend, runTool, type ToolRun } from "./backends.ts";
import { cidrList, configText, withOneChanged } from "./lists.ts";
import type { BenchNode, Stand } from "./namespaces.ts";
import { median } from "./statistics.ts";

/** What one change cost. */
export interface Programming {
  /** From the swap to the line. */
  readonly ms: number;
  /** What the line says of the pass. */
  readonly passMs: number;
  readonly peakMb: number;
}

/** What a tool cost by itself. */
export interface ToolCost {
  readonly ms: number;
  readonly peakMb: number;
}

export interface AgentCost {
  readonly full: Programming;
  readonly one: Programming;
}

const DEADLINE_MS = 120_000;
/** Nothing is repeated once it has taken so long: the long chains take seconds each time. */
const ENOUGH_MS = 10_000;
/** After that an agent has done whatever its start or a change entails; strace makes it slower. */
const SETTLED_MS = 2_000;
let agents = 0;

/** Programs a list by the agent, several times, and leaves it in the kernel. Median times, highest peaks. */
export async function programByAgent(
  stand: Stand,
  node: BenchNode,
  flags: readonly string[],
  count: number,
  repeats: number,
  nodePath = process.execPath,
): Promise<AgentCost> {
  const list = cidrList(count);
  const full: Programming[] = [];
  const one: Programming[] = [];
  let startedAt = performance.now();
  const repeating = (i: number) =>
    count > 0 && (i === 0 || (i < repeats && performance.now() - startedAt < ENOUGH_MS));
  await withAgent(stand, [...node.prefix, nodePath], flags, async (change) => {
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

/** How many processes an agent starts. */
export interface Children {
  /** At its own start, when it looks once for what other backends have left. */
  readonly start: number;
  /** For a full list and one changed entry. */
  readonly changes: number;
}

/** Counts the processes that an agent starts; undefined without strace. */
export async function countChildren(
  stand: Stand,
  node: BenchNode,
  flags: readonly string[],
  count: number,
): Promise<Children | undefined> {
  if ((await node.attempt("strace", ["-V"])).code !== 0) return undefined;
  const trace = join(stand.directory, "trace");
  // -D: the agent stays our child, and strace ends with it.
  const strace = ["strace", "-D", "-f", "-qq", "-e", "trace=fork,vfork,clone,clone3", "-o", trace];
  // A thread is no process.
  const sofar = () =>
    readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => /\b(v?fork|clone3?)\(/.test(line) && !line.includes("CLONE_THREAD")).length;
  let children: Children | undefined;
  await withAgent(stand, [...node.prefix, ...strace, process.execPath], flags, async (change) => {
    await pause(SETTLED_MS);
    const start = sofar();
    await change(configText(cidrList(count)));
    await change(configText(withOneChanged(cidrList(count), 0)));
    await pause(SETTLED_MS);
    children = { start, changes: sofar() - start };
  });
  return children;
}

/** Median time and highest peak of a tool that is run several times. */
export async function toolCost(node: BenchNode, runs: readonly ToolRun[]): Promise<ToolCost> {
  const costs: ToolCost[] = [];
  for (const run of runs) costs.push(await runOnce(node, run));
  return { ms: median(costs.map(({ ms }) => ms)), peakMb: Math.max(...costs.map(({ peakMb }) => peakMb)) };
}

/** Programs a list by the tools. */
export async function programByTools(node: BenchNode, backend: BenchBackend, count: number): Promise<void> {
  for (const run of [...backend.prepare, backend.fill(cidrList(count))]) await runTool(node, run);
}

type Change = (text: string) => Promise<Programming>;

/** Runs an agent with no list in a node; `use` changes its configuration. */
async function withAgent(
  stand: Stand,
  prefix: readonly string[],
  flags: readonly string[],
  use: (change: Change) => Promise<void>,
): Promise<void> {
  const volume = createVolume(join(stand.directory, `config-${++agents}`));
  const processes = createProcesses();
  try {
    // Not the list that a killed agent may have left: the first pass then has nothing to say.
    volume.write(configText(["100.64.0.0/24"]));
    const agent = processes.startAgent(
      [...prefix, agentBundle(), "run", `--config=${volume.path}`, ...flags],
      stand.env,
    );
    await untilLines(agent, 1);
    await use(async (text) => {
      const lines = linesOf(agent).length;
      // Forgets the peak so far.
      writeFileSync(`/proc/${agent.pid}/clear_refs`, "5");
      const startedAt = performance.now();
      volume.write(text);
      const passMs = await untilLines(agent, lines + 1);
      const ms = performance.now() - startedAt;
      return { ms, passMs, peakMb: peakMb(agent.pid) ?? Number.NaN };
    });
  } finally {
    await processes.end();
  }
}

/** What the agent has said of rules that it has programmed: the milliseconds of each pass. */
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
    if (ending !== undefined) throw new Error(`the agent ended, ${ending}: ${agent.log().slice(-1_000)}`);
    if (performance.now() > deadline)
      throw new Error(`no rules within ${DEADLINE_MS} ms: ${agent.log().slice(-1_000)}`);
    await pause(1);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function middle(all: readonly Programming[]): Programming {
  return {
    ms: median(all.map(({ ms }) => ms)),
    passMs: median(all.map(({ passMs }) => passMs)),
    peakMb: Math.max(...all.map(({ peakMb }) => peakMb)),
  };
}

/** The most memory that a process has had resident; undefined if it has ended. */
function peakMb(pid: number): number | undefined {
  try {
    const kb = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kb === undefined ? undefined : Number(kb) / 1024;
  } catch {
    return undefined;
  }
}

/** Runs a tool once. Its peak is what was last seen of it: a tool has most of its memory until just before its end. */
function runOnce(node: BenchNode, { file, args, stdin = "" }: ToolRun): Promise<ToolCost> {
  const [ip = "", ...rest] = [...node.prefix, file, ...args];
  const startedAt = performance.now();
  const child = spawn(ip, rest, { stdio: ["pipe", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint += chunk;
  });
  let peak = 0;
  const sampling = setInterval(() => {
    peak = peakMb(child.pid ?? -1) ?? peak;
  }, 1);
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => {
      clearInterval(sampling);
      if (code === 0) resolve({ ms: performance.now() - startedAt, peakMb: peak });
      else reject(new Error(`${file} ${args.join(" ")}: ${code}: ${complaint.trim()}`));
    });
  });
}

/**
 * What the agent costs while nothing happens, over two resync intervals and more: child processes (strace), processor
 * time, memory. Alone, and beside 20,000 rules of others; with iptables-legacy, which has no generation to ask for, so that each
 * resync looks with the tools.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { foreignRules } from "../test/lab/network/foreign.ts";
import { agentBundle } from "../test/lab/network/lab.ts";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import { childrenMs, type Memory, memoryOf, processorMs } from "../test/lab/network/usage.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { createStand, type Stand } from "./namespaces.ts";
import { machine, table } from "./report.ts";

/** How long, and how often the agent resyncs meanwhile. */
export interface IdleExtent {
  readonly resyncS: number;
  readonly resyncs: number;
}

/** Short, and with the default interval. */
export const IDLE_SHORT: IdleExtent = { resyncS: 5, resyncs: 12 };
export const IDLE_FULL: IdleExtent = { resyncS: 60, resyncs: 2 };

interface Case {
  readonly name: string;
  readonly flags: readonly string[];
  readonly foreign: number;
}

const FOREIGN = 20_000;
const NFT = ["--backend=iptables", "--iptables-mode=nft"];
const CASES: readonly Case[] = [
  { name: "nftables", flags: ["--backend=nftables"], foreign: 0 },
  { name: "nftables", flags: ["--backend=nftables"], foreign: FOREIGN },
  { name: "iptables (nft)", flags: NFT, foreign: 0 },
  { name: "iptables (nft)", flags: NFT, foreign: FOREIGN },
  { name: "iptables (legacy)", flags: ["--backend=iptables", "--iptables-mode=legacy"], foreign: 0 },
];

/** What the Go program costs for each resync: it runs three tools, whether or not anything has changed. */
const GO = { children: 3, processorMs: 8, processorMsForeign: 28 };

/** What was done before is over by then: the start, and what the just-in-time compiler makes of it. */
const SETTLED_MS = 10_000;

interface Usage {
  readonly processorMs: number;
  readonly childrenMs: number;
  readonly memory: Memory;
  /** Of an agent of its own, since strace makes everything slower; undefined without strace. */
  readonly children: number | undefined;
}

/** Prints what each kind of agent costs. They all idle at the same time, each in a node of its own. */
export async function measureIdle(nodePath: string, extent: IdleExtent): Promise<void> {
  console.log(`\n${machine()}`);
  const stand = await createStand();
  try {
    const traced = (await (await stand.addNode()).attempt("strace", ["-V"])).code === 0;
    if (!traced) console.log("child processes: SKIPPED, strace is not installed");
    const rows: string[][] = [];
    const usages: Usage[] = [];
    // Made one after the other: all at once, they would not settle.
    const idlers: Idler[] = [];
    for (const one of CASES) idlers.push(await startIdler(stand, nodePath, one, extent, traced));
    await pause(SETTLED_MS);
    const befores = idlers.map((idler) => idler.look());
    await pause(extent.resyncS * extent.resyncs * 1_000);
    for (const [i, idler] of idlers.entries()) usages.push(difference(befores[i] as Usage, idler.look()));
    for (const idler of idlers) await idler.end();
    for (const [i, one] of CASES.entries()) rows.push(row(one, usages[i] as Usage, extent));
    const seconds = extent.resyncS * extent.resyncs;
    console.log(`\nIdle for ${seconds} s, a resync every ${extent.resyncS} s:\n${idleTable(rows)}`);
  } finally {
    stand.close();
  }
}

interface Idler {
  readonly look: () => Usage;
  readonly end: () => Promise<void>;
}

async function startIdler(
  stand: Stand,
  nodePath: string,
  { flags, foreign }: Case,
  { resyncS }: IdleExtent,
  traced: boolean,
): Promise<Idler> {
  const processes = createProcesses();
  const start = async (name: string, ...wrapper: readonly string[]): Promise<Agent> => {
    const node = await stand.addNode();
    if (foreign > 0) await node.run("iptables-nft-restore", ["--noflush"], foreignRules(foreign));
    const volume = createVolume(join(stand.directory, `${name}-${node.namespace}`));
    volume.write(JSON.stringify({ resyncInterval: `${resyncS}s` }));
    const command = [...node.prefix, ...wrapper, nodePath, agentBundle(), "run", `--config=${volume.path}`];
    const agent = processes.startAgent([...command, ...flags], stand.env);
    await programmed(agent);
    return agent;
  };
  const agent = await start("agent");
  const trace = join(stand.directory, `trace-${agent.pid}`);
  // -D: the agent stays our child, and strace ends with it.
  if (traced)
    await start("traced", "strace", "-D", "-f", "-qq", "-e", "trace=fork,vfork,clone,clone3", "-o", trace);
  return {
    look: () => ({
      processorMs: processorMs(agent.pid),
      childrenMs: childrenMs(agent.pid),
      memory: memoryOf(agent.pid),
      children: traced ? countForks(trace) : undefined,
    }),
    end: processes.end,
  };
}

/** Those of our processes' children that are processes; a thread is none. */
function countForks(trace: string): number {
  const lines = readFileSync(trace, "utf8").split("\n");
  return lines.filter((line) => /\b(v?fork|clone3?)\(/.test(line) && !line.includes("CLONE_THREAD")).length;
}

function difference(before: Usage, after: Usage): Usage {
  return {
    processorMs: after.processorMs - before.processorMs,
    childrenMs: after.childrenMs - before.childrenMs,
    memory: after.memory,
    children: after.children === undefined ? undefined : after.children - (before.children ?? 0),
  };
}

function row({ name, foreign }: Case, usage: Usage, { resyncS, resyncs }: IdleExtent): string[] {
  const minutes = (resyncS * resyncs) / 60;
  const whole = usage.processorMs + usage.childrenMs;
  const go = resyncs * (foreign > 0 ? GO.processorMsForeign : GO.processorMs);
  return [
    name,
    String(foreign),
    `${usage.children ?? "unknown"} (${GO.children * resyncs})`,
    (usage.processorMs / minutes).toFixed(2),
    (usage.childrenMs / minutes).toFixed(0),
    (whole / resyncs).toFixed(2),
    (whole / go).toFixed(2),
    usage.memory.residentMb.toFixed(1),
    usage.memory.anonymousMb.toFixed(1),
  ];
}

function idleTable(rows: readonly (readonly string[])[]): string {
  const head = ["backend", "foreign rules", "child processes (Go)", "CPU ms/min", "children's", "per resync"];
  return table([...head, "ratio to Go", "RSS MB", "anonymous MB"], rows);
}

async function programmed(agent: Agent): Promise<void> {
  for (const deadline = performance.now() + 60_000; !agent.log().includes(": programmed "); await pause(20))
    if (performance.now() > deadline) throw new Error(`no rules: ${agent.log().slice(-1_000)}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

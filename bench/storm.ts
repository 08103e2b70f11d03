/**
 * The agent beside others who commit all the time: somebody restores 20,000 iptables-nft rules again and again, as fast as
 * it goes, or makes small commits over netlink. What the agent costs meanwhile, how long drift made in the midst of it stays,
 * and drift made the moment it ends.
 */
import { spawn } from "node:child_process";
import { openNftables } from "../src/netlink/socket/transport.ts";
import { foreignRules } from "../test/lab/network/foreign.ts";
import { childrenMs, memoryOf, processorMs } from "../test/lab/network/usage.ts";
import { type Lane, startLane } from "./lane.ts";
import { type BenchNode, createStand } from "./namespaces.ts";
import { machine, table, thousands } from "./report.ts";
import type { BackendName } from "./standing.ts";
import { median } from "./statistics.ts";

/** Every so often somebody breaks the agent's rules as well. */
const DRIFT_EVERY_MS = 5_000;
const SAMPLE_MS = 250;
const RULES = 20_000;
const DRIFTS = ["flush our chain", "delete one rule"];

/** What storms there are; each goes on until it is ended, and then tells how many commits it made. */
const STORMS: Readonly<Record<string, (node: BenchNode) => { readonly end: () => Promise<number> }>> = {
  "20,000 rules restored": (node) => {
    const text = foreignRules(RULES);
    const ending = new AbortController();
    const restore = async () => {
      let commits = 0;
      for (; !ending.signal.aborted; commits++)
        await node.run("iptables-nft-restore", ["--noflush", "-w", "5"], text);
      return commits;
    };
    const commits = restore();
    return {
      end: () => {
        ending.abort();
        return commits;
      },
    };
  },
  "small commits": (node) => {
    const [ip = "", ...rest] = [...node.prefix, process.execPath, process.argv[1] ?? "", "--committer"];
    const child = spawn(ip, rest, { stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    const ended = new Promise<number>((resolve) => child.on("close", () => resolve(Number(said))));
    return {
      end: () => {
        child.stdin.end();
        return ended;
      },
    };
  },
};

/** Commits small changes of a foreign table until its stdin ends; then says how many. */
export async function committerChild(): Promise<void> {
  const nftables = await openNftables();
  let ended = false;
  process.stdin.on("end", () => {
    ended = true;
  });
  process.stdin.resume();
  const other = { family: "ip", table: "other" } as const;
  let commits = 0;
  for (; !ended; commits += 2) {
    await nftables.batch([{ op: "add table", ...other }]);
    await nftables.batch([{ op: "delete table", ...other }]);
    if (commits % 100 === 0) await new Promise(setImmediate);
  }
  process.stdout.write(`${commits}\n`, () => process.exit());
}

/** Prints what so many seconds of each storm cost with each backend. */
export async function measureStorms(nodePath: string, seconds: number): Promise<void> {
  console.log(`\n${machine()}`);
  const rows: string[][] = [];
  for (const backend of ["iptables", "nftables"] as const)
    for (const storm of Object.keys(STORMS)) rows.push(await measureStorm(nodePath, backend, storm, seconds));
  const cpu = ["commits/s", "agent's CPU %", "its tools' %"];
  const memory = ["RSS MB: before", "median", "max", "after"];
  const drift = ["drift ms: median", "max", "at the end"];
  console.log(`\nStorms of ${seconds} s:\n${table(["backend", "storm", ...cpu, ...memory, ...drift], rows)}`);
}

async function measureStorm(
  nodePath: string,
  backend: BackendName,
  name: string,
  seconds: number,
): Promise<string[]> {
  const stand = await createStand();
  try {
    const lane = await startLane(stand, nodePath, backend);
    const before = usageOf(lane);
    const startedAt = performance.now();
    const storm = STORMS[name]?.(lane.node);
    const sizes: number[] = [];
    const sampling = setInterval(() => sizes.push(memoryOf(lane.agent.pid).residentMb), SAMPLE_MS);
    const drifts = await breakAgain(lane, startedAt + seconds * 1_000);
    clearInterval(sampling);
    const during = usageOf(lane);
    const share = (ms: number) => ((100 * ms) / (performance.now() - startedAt)).toFixed(1);
    const [cpu, tools] = [share(during.cpuMs - before.cpuMs), share(during.toolsMs - before.toolsMs)];
    const ending = storm?.end();
    const last = await lane.ask({ do: "drift", kind: DRIFTS[0] ?? "", storm: true });
    const commits = ((await ending) ?? 0) / ((performance.now() - startedAt) / 1_000);
    const memory = [before.residentMb, median(sizes), Math.max(...sizes), usageOf(lane).residentMb];
    await lane.end();
    return [
      ...[backend, name, commits < 10 ? commits.toFixed(1) : thousands(commits), cpu, tools],
      ...memory.map((megabytes) => megabytes.toFixed(1)),
      ...[median(drifts), Math.max(...drifts), last].map(thousands),
    ];
  } finally {
    stand.close();
  }
}

/** Breaks the rules every few seconds until a moment; returns how long each time they stayed broken. */
async function breakAgain(lane: Lane, untilMs: number): Promise<number[]> {
  const times: number[] = [];
  for (let next = performance.now() + DRIFT_EVERY_MS; next < untilMs; next += DRIFT_EVERY_MS) {
    await pause(next - performance.now());
    const kind = DRIFTS[times.length % DRIFTS.length] ?? "";
    times.push(await lane.ask({ do: "drift", kind, storm: true }));
  }
  await pause(untilMs - performance.now());
  return times;
}

function usageOf({ agent: { pid } }: Lane) {
  return { cpuMs: processorMs(pid), toolsMs: childrenMs(pid), residentMb: memoryOf(pid).residentMb };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

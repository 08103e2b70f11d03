/**
 * What the agent costs: the configuration (parse and compile, refuse garbage), start to rules in place, idle
 * memory. Times are medians of paired runs; start is given beside a bare `node -e 0` of the same Node.
 *
 * usage: bench.ts [--node PATH] (another Node to start the agent with)
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { keepHeapSmall } from "../src/agent/heap.ts";
import { decodeConfig } from "../src/core/config.ts";
import { compileRuleset } from "../src/core/ruleset.ts";

const AGENT = resolve("dist/ip-masq-agent.cjs");
const at = process.argv.indexOf("--node");
const node = at < 0 ? process.execPath : resolve(process.argv[at + 1] ?? "");
const options = {
  noMasqAllReservedRanges: false,
  enableIPv6: true,
  masqChain: "X",
  toPorts: [],
  randomFully: true,
};

if (process.argv.includes("--config-only")) {
  // A process of its own, so that its peak memory is that of the configuration alone; set up as the agent is.
  keepHeapSmall();
  const { durationMs, ok } = decode(readFileSync(process.argv.at(-1) ?? ""));
  console.log(JSON.stringify({ durationMs, ok, peakMb: process.resourceUsage().maxRSS / 1024 }));
} else {
  void main();
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-bench-"));
  try {
    console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
    for (const [name, text] of configTexts()) {
      const file = join(directory, "config");
      writeFileSync(file, text);
      const runs = Array.from({ length: 5 }, () => configRun(file));
      const peak = Math.max(...runs.map((run) => run.peakMb));
      const verdict = runs[0]?.ok === true ? "accepted" : "refused";
      console.log(
        `${name}: ${verdict} in ${median(runs.map((run) => run.durationMs)).toFixed(0)} ms, peak ${peak.toFixed(0)} MB`,
      );
    }
    if (process.getuid?.() === 0) await measureAgent(directory);
    else console.log("start and memory: SKIPPED, they need root (network namespaces)");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Parses, validates and compiles both families; milliseconds. */
function decode(bytes: Uint8Array): { durationMs: number; ok: boolean } {
  const startedAt = performance.now();
  const result = decodeConfig({ kind: "file", files: [{ path: "config", bytes }] }, options);
  if (result.ok)
    for (const family of ["IPv4", "IPv6"] as const) compileRuleset(family, result.value.config, options);
  return { durationMs: performance.now() - startedAt, ok: result.ok };
}

function configRun(file: string): { durationMs: number; ok: boolean; peakMb: number } {
  const { stdout, stderr } = spawnSync(node, [process.argv[1] ?? "", "--config-only", file], {
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

function configTexts(): [string, string | Uint8Array][] {
  const cidrs = Array.from(
    { length: 100_000 },
    (_, i) => `${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`,
  );
  const mixed = cidrs.map((cidr, i) =>
    i % 2 === 0 ? cidr : `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::/64`,
  );
  const block = (list: string[]) =>
    `cidrLimit: 200000\nnonMasqueradeCIDRs:\n${list.map((cidr) => `- ${cidr}\n`).join("")}`;
  const noise = Uint8Array.from({ length: 1 << 20 }, (_, i) => 33 + (((i * 2654435761) >>> 13) % 94));
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x,x]",
    ..."bcdefgh".split("").map((key, i) => {
      const before = "abcdefgh"[i];
      return `${key}: &${key} [${new Array(10).fill(`*${before}`).join(",")}]`;
    }),
  ].join("\n");
  return [
    ["100,000 CIDRs, YAML", block(cidrs)],
    ["100,000 CIDRs of both families, YAML", block(mixed)],
    ["100,000 CIDRs, JSON", JSON.stringify({ cidrLimit: 200000, nonMasqueradeCIDRs: cidrs })],
    ["1 MiB of printable garbage", noise],
    ["1 MiB of brackets", "[".repeat(1 << 20)],
    ["1 MiB of bad entries", block(Array.from({ length: 50_000 }, (_, i) => `not a CIDR ${i}`))],
    ["an alias bomb", bomb],
  ];
}

/** Start to rules and idle memory, in a network namespace of their own. */
async function measureAgent(directory: string): Promise<void> {
  const bare: number[] = [];
  const full: number[] = [];
  for (let i = 0; i < 15; i++) {
    const startedAt = performance.now();
    spawnSync(node, ["-e", "0"]);
    bare.push(performance.now() - startedAt);
    full.push(await startOnce(directory));
  }
  const extra = full.map((ms, i) => ms - (bare[i] ?? 0));
  console.log(
    `start to rules: ${median(full).toFixed(0)} ms, bare node -e 0: ${median(bare).toFixed(0)} ms, difference: ${median(extra).toFixed(0)} ms, ratio ${(median(full) / median(bare)).toFixed(2)}`,
  );
  console.log(`idle: ${await idleMemory(directory)}`);
}

function startAgent(directory: string) {
  return spawn("unshare", ["-n", node, AGENT, `--config=${join(directory, "none")}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** Milliseconds from spawn to the line that says that the rules are programmed. */
async function startOnce(directory: string): Promise<number> {
  const startedAt = performance.now();
  const agent = startAgent(directory);
  await programmed(agent);
  const durationMs = performance.now() - startedAt;
  agent.kill("SIGKILL");
  await new Promise((done) => agent.on("exit", done));
  return durationMs;
}

function programmed(agent: ReturnType<typeof startAgent>): Promise<void> {
  return new Promise((done, fail) => {
    let log = "";
    agent.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("programmed chain")) done();
    });
    agent.on("exit", () => fail(new Error(`the agent ended: ${log}`)));
  });
}

async function idleMemory(directory: string): Promise<string> {
  const agent = startAgent(directory);
  await programmed(agent);
  await new Promise((done) => setTimeout(done, 3000));
  // `unshare` without --fork becomes the agent.
  const rollup = readFileSync(`/proc/${agent.pid}/smaps_rollup`, "utf8");
  agent.kill("SIGKILL");
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) / 1024).toFixed(1);
  return `${megabytes("Rss")} MB RSS, ${megabytes("Anonymous")} MB anonymous`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** What the configuration costs: parsed, validated and compiled; or refused, if it is garbage. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeConfig } from "../src/core/config.ts";
import { compileRuleset } from "../src/core/ruleset.ts";
import { keepHeapSmall } from "../src/system/heap.ts";
import { median } from "./statistics.ts";

interface ConfigRun {
  readonly durationMs: number;
  readonly ok: boolean;
  readonly peakMb: number;
}

const options = {
  noMasqAllReservedRanges: false,
  enableIPv6: true,
  masqChain: "X",
  toPorts: [],
  randomFully: true,
};

/** One run in a process of its own, so that its peak memory is that of the configuration alone; set up as the agent is. */
export function configChild(file: string): void {
  keepHeapSmall();
  const { durationMs, ok } = decode(readFileSync(file));
  console.log(JSON.stringify({ durationMs, ok, peakMb: process.resourceUsage().maxRSS / 1024 }));
}

/** Prints a line for each of some configurations. */
export function measureConfig(node: string, directory: string): void {
  for (const [name, text] of configTexts()) {
    const file = join(directory, "config");
    writeFileSync(file, text);
    const runs = Array.from({ length: 5 }, () => configRun(node, file));
    const peak = Math.max(...runs.map((run) => run.peakMb));
    const verdict = runs[0]?.ok === true ? "accepted" : "refused";
    console.log(
      `${name}: ${verdict} in ${median(runs.map((run) => run.durationMs)).toFixed(0)} ms, peak ${peak.toFixed(0)} MB`,
    );
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

function configRun(node: string, file: string): ConfigRun {
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

/** Tables of the figures, as they are printed; docs/internals/performance.md has a part of them. */
import { spawnSync } from "node:child_process";
import { cpus, release } from "node:os";
import type { FlowCost } from "./flows.ts";
import { POSITIONS, type Position } from "./lists.ts";
import type { AgentCost } from "./programming.ts";

/** A backend's programming of one list. */
export interface ProgrammingRow extends AgentCost {
  readonly name: string;
  readonly count: number;
}

/** A flow's cost as a multiple of the floor: the figure to compare between machines. */
export function ratioOf({ aboveNs, floorNs }: FlowCost): number {
  return 1 + aboveNs / floorNs;
}

/** The most expensive of some positions, for each length of the list. */
export function worstOf(
  costs: readonly FlowCost[],
  name: string,
  positions = POSITIONS as readonly Position[],
): FlowCost[] {
  const mine = costs.filter((cost) => cost.name === name && positions.includes(cost.position));
  const counts = [...new Set(mine.map(({ count }) => count))];
  return counts.flatMap((count) =>
    mine
      .filter((cost) => cost.count === count)
      .sort((a, b) => ratioOf(b) - ratioOf(a))
      .slice(0, 1),
  );
}

/** Ratios of each backend, a row for each length of the list, a column for each position; ± from the confidence interval. */
export function ratioTable(costs: readonly FlowCost[]): string {
  const rows = new Map<string, string[]>();
  for (const cost of costs) {
    const { name, count, position, errorNs, floorNs } = cost;
    const row = rows.get(`${name} ${count}`) ?? [name, thousands(count), ...POSITIONS.map(() => "")];
    row[2 + POSITIONS.indexOf(position)] =
      `${significant(ratioOf(cost))}x ± ${significant(errorNs / floorNs)}`;
    rows.set(`${name} ${count}`, row);
  }
  const head = [
    "backend",
    "CIDRs",
    "first entry",
    "last entry",
    "random entry",
    "no match",
    "random, no match",
  ];
  return table(head, [...rows.values()].sort(byName));
}

/** Keeps the order of lengths. */
function byName([a = ""]: readonly string[], [b = ""]: readonly string[]): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Times and memory of programming. */
export function programmingTable(rows: readonly ProgrammingRow[]): string {
  const change = ["ms", "pass", "peak MB"];
  return table(
    [
      "backend",
      "CIDRs",
      `full: ${change[0]}`,
      ...change.slice(1),
      `one entry: ${change[0]}`,
      ...change.slice(1),
    ],
    rows.map(({ name, count, full, one }) => [
      name,
      ...[count, full.ms, full.passMs, full.peakMb, one.ms, one.passMs, one.peakMb].map(thousands),
    ]),
  );
}

/** The machine of the figures, without a name. */
export function machine(): string {
  const version = (tool: string, ...args: string[]) =>
    /\d+\.\d+[.\d]*/.exec(spawnSync(tool, args, { encoding: "utf8" }).stdout ?? "")?.[0] ?? "none";
  const tools = [
    `iptables ${version("iptables-nft", "--version")}`,
    `nft ${version("nft", "--version")}`,
    `ipset ${version("ipset", "--version")}`,
    `Node ${process.version}`,
  ];
  const kernel = release().split("-")[0];
  return `Linux ${kernel}, ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${tools.join(", ")}`;
}

/** In the syntax of Markdown, with columns of one width so that it reads as plain text too; figures to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const render = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [render(head), render(rule), ...rows.map(render)].join("\n");
}

/** A whole number, to be read. */
export function thousands(value: number): string {
  return (Math.round(value) || 0).toLocaleString("en");
}

function significant(value: number): string {
  return value < 10 ? value.toFixed(2) : thousands(value);
}

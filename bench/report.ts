/** Tables of what was measured, as they are printed and as docs/performance.md has them. */
import { spawnSync } from "node:child_process";
import { cpus, release } from "node:os";
import type { FlowCost } from "./flows.ts";
import { POSITIONS, type Position } from "./lists.ts";
import type { AgentCost, Programming, ToolCost } from "./programming.ts";

/** A backend's programming of one list. */
export interface ProgrammingRow {
  readonly name: string;
  readonly count: number;
  readonly agent?: AgentCost;
  readonly tool: ToolCost;
  readonly toolOne?: ToolCost;
}

/** How often the floor a flow costs, and so the figure to compare between machines. */
export function ratioOf({ aboveNs, floorNs }: FlowCost): number {
  return 1 + aboveNs / floorNs;
}

/** The dearest of some positions, for each length of the list. */
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

/** Ratios of each backend, a row for each length of the list, a column for each position. */
export function ratioTable(costs: readonly FlowCost[]): string {
  return costTable(costs, (cost) => `${significant(ratioOf(cost))}x`);
}

/** Nanoseconds above the floor, with the half width of the confidence interval. */
export function aboveTable(costs: readonly FlowCost[]): string {
  return costTable(costs, ({ aboveNs, errorNs }) => `${thousands(aboveNs)} ± ${thousands(errorNs)}`);
}

function costTable(costs: readonly FlowCost[], cell: (cost: FlowCost) => string): string {
  const names = [...new Set(costs.map(({ name }) => name))];
  const counts = [...new Set(costs.map(({ count }) => count))];
  const find = (name: string, count: number, position: Position) =>
    costs.find((cost) => cost.name === name && cost.count === count && cost.position === position);
  const rows = names.flatMap((name) =>
    counts.map((count) => [
      name,
      thousands(count),
      ...POSITIONS.map((position) => {
        const cost = find(name, count, position);
        return cost === undefined ? "" : cell(cost);
      }),
    ]),
  );
  return table(
    ["backend", "CIDRs", "first entry", "last entry", "random entry", "no match", "random, no match"],
    rows,
  );
}

/** Times and memory of programming. */
export function programmingTable(rows: readonly ProgrammingRow[]): string {
  const agent = (cost: Programming | undefined) =>
    cost === undefined || Number.isNaN(cost.ms)
      ? ["", "", ""]
      : [thousands(cost.ms), thousands(cost.passMs), thousands(cost.peakMb)];
  const tool = (cost: ToolCost | undefined) =>
    cost === undefined ? ["", ""] : [thousands(cost.ms), thousands(cost.peakMb)];
  return table(
    [
      ...["backend", "CIDRs"],
      ...["full: ms", "pass", "peak MB"],
      ...["one entry: ms", "pass", "peak MB"],
      ...["tool, full: ms", "peak MB", "tool, one: ms", "peak MB"],
    ],
    rows.map((row) => [
      row.name,
      thousands(row.count),
      ...agent(row.agent?.full),
      ...agent(row.agent?.one),
      ...tool(row.tool),
      ...tool(row.toolOne),
    ]),
  );
}

/** What the figures were taken on, without a name. */
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

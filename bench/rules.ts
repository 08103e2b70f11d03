/** Rules in the kernel: every backend with every length of the list, programmed and then sent flows through. */
import { mkdirSync, writeFileSync } from "node:fs";
import { BACKENDS, type BenchBackend, FLOOR, runTool } from "./backends.ts";
import { type FlowCost, measureFlows, startSender, targetsOf } from "./flows.ts";
import { changedEntry, cidrList } from "./lists.ts";
import { type BenchNode, createStand, type Stand } from "./namespaces.ts";
import { renderPlot } from "./plot.ts";
import { countChildren, programByAgent, programByTools, toolCost } from "./programming.ts";
import {
  aboveTable,
  machine,
  type ProgrammingRow,
  programmingTable,
  ratioOf,
  ratioTable,
  thousands,
  worstOf,
} from "./report.ts";
import { median } from "./statistics.ts";

/** How much is measured. */
export interface Extent {
  readonly sizes: readonly number[];
  /** For each position of each size. */
  readonly budgetMs: number;
  readonly repeats: number;
}

const DEFAULT: Extent = { sizes: [0, 64, 1_000, 10_000, 100_000], budgetMs: 2_000, repeats: 3 };
const FULL: Extent = { ...DEFAULT, budgetMs: 10_000, repeats: 9 };

const PLOT = "docs/new-flow-cost.svg";
/** The list with which child processes are counted. */
const TRACED_SIZE = 10_000;

/** What the command line asks for. */
export function extentOf(full: boolean, sizes: readonly number[]): Extent {
  const extent = full ? FULL : DEFAULT;
  return sizes.length > 0 ? { ...extent, sizes } : extent;
}

/** Prints the tables and writes the plot, if it has all sizes. */
export async function measureRules(node: string, extent: Extent): Promise<void> {
  const stand = await createStand();
  try {
    console.log(`\n${machine()}`);
    const { costs, rows } = await measureAll(stand, node, extent);
    console.log(`\nProgramming, milliseconds and MB:\n${programmingTable(rows)}`);
    await printChildren(stand);
    printFlows(costs);
    if (extent.sizes === DEFAULT.sizes) writePlot(costs);
  } finally {
    stand.close();
  }
}

interface Measured {
  readonly costs: FlowCost[];
  readonly rows: ProgrammingRow[];
}

async function measureAll(
  stand: Stand,
  nodePath: string,
  { sizes, budgetMs, repeats }: Extent,
): Promise<Measured> {
  const floors = [await addFloor(stand), await addFloor(stand)] as const;
  const nodes: [BenchBackend, BenchNode][] = [];
  for (const backend of BACKENDS) nodes.push([backend, await stand.addNode()]);
  const sender = startSender(stand);
  const measured: Measured = { costs: [], rows: [] };
  for (const count of sizes) {
    for (const [backend, node] of nodes) {
      const row = await programmingRow(stand, backend, node, count, repeats, nodePath);
      if (count > 0) measured.rows.push(row);
    }
    for (const group of ["chains", "sets"] as const) {
      const targets = targetsOf(floors, nodes, group);
      measured.costs.push(...(await measureFlows(stand, sender, targets, count, budgetMs)));
    }
    progress(`${count} CIDRs measured`);
  }
  sender.end();
  return measured;
}

async function addFloor(stand: Stand): Promise<BenchNode> {
  const node = await stand.addNode();
  await runTool(node, FLOOR);
  return node;
}

/** Programs a list in its node, and by the tools in a node that is only for that. */
async function programmingRow(
  stand: Stand,
  backend: BenchBackend,
  node: BenchNode,
  count: number,
  repeats: number,
  nodePath: string,
): Promise<ProgrammingRow> {
  const agent =
    backend.by === "agent"
      ? await programByAgent(stand, node, backend.flags, count, repeats, nodePath)
      : await programByTools(node, backend, count);
  const scratch = await stand.addNode();
  for (const run of backend.prepare) await runTool(scratch, run);
  const list = cidrList(count);
  const { name, fill, addOne } = backend;
  const tool = await toolCost(scratch, new Array(repeats).fill(fill(list)));
  const row = { name, count, tool, ...(agent === undefined ? {} : { agent }) };
  if (addOne === undefined || count === 0) return row;
  const others = Array.from({ length: repeats }, (_, i) => addOne(changedEntry(i)));
  return { ...row, toolOne: await toolCost(scratch, others) };
}

async function printChildren(stand: Stand): Promise<void> {
  const { flags } = BACKENDS.at(-1) as BenchBackend;
  const children = await countChildren(stand, await stand.addNode(), flags, TRACED_SIZE);
  const what = `child processes with nftables, ${thousands(TRACED_SIZE)} CIDRs`;
  if (children === undefined) console.log(`\n${what}: SKIPPED, strace is not installed`);
  else
    console.log(
      `\n${what}: ${children.changes} for the list and one change of it; ${children.start} at the start, which look once for what other backends have left`,
    );
}

function printFlows(costs: readonly FlowCost[]): void {
  const floor = median(costs.map(({ floorNs }) => floorNs));
  const alone = median(costs.map(({ aloneNs }) => aloneNs));
  console.log(
    `\nA new flow with one MASQUERADE rule costs ${floor.toFixed(0)} ns in the node, sending it ${alone.toFixed(0)} ns.`,
  );
  console.log(`\nNew flow, ratio to one MASQUERADE rule:\n${ratioTable(costs)}`);
  console.log(`\nNew flow, nanoseconds above one MASQUERADE rule:\n${aboveTable(costs)}\n`);
  for (const { name } of BACKENDS) {
    const same = worstOf(costs, name, ["first", "last", "gap"]).at(-1);
    const random = worstOf(costs, name).at(-1);
    if (same !== undefined && random !== undefined)
      console.log(
        `${name}, ${thousands(same.count)} CIDRs: at worst ${ratioOf(same).toFixed(2)}x for destinations that recur, ${ratioOf(random).toFixed(2)}x with random ones`,
      );
  }
}

function writePlot(costs: readonly FlowCost[]): void {
  const floorNs = median(costs.map((cost) => cost.floorNs));
  const series = BACKENDS.map(({ name }) => {
    const worst = worstOf(costs, name).filter(({ count }) => count > 0);
    return { name, points: worst.map((cost) => [cost.count, ratioOf(cost) * floorNs] as const) };
  });
  mkdirSync("docs", { recursive: true });
  writeFileSync(
    PLOT,
    renderPlot(
      "What a new flow costs in the node",
      "Worst case; less is better, both axes logarithmic",
      series,
      floorNs,
    ),
  );
  console.log(`written: ${PLOT}`);
}

function progress(text: string): void {
  console.error(`${(performance.now() / 1000).toFixed(0)} s: ${text}`);
}

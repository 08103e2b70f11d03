/** Rules in the kernel: every backend with every length of the list, programmed and then sent flows through. */
import { writeFileSync } from "node:fs";
import { BACKENDS, type BenchBackend, FLOOR, runTool } from "./backends.ts";
import { type FlowCost, measureFlows, startSender, targetsOf } from "./flows.ts";
import { renderPlot } from "./plot.ts";
import { programByAgent } from "./programming.ts";
import {
  machine,
  type ProgrammingRow,
  programmingTable,
  ratioOf,
  ratioTable,
  thousands,
  worstOf,
} from "./report.ts";
import { type Side, titled } from "./sides.ts";
import { median } from "./statistics.ts";
import { type BenchNode, createTestbed, type Testbed } from "./testbed.ts";

/** How much is measured. */
export interface Extent {
  readonly sizes: readonly number[];
  /** For each position of each size. */
  readonly budgetMs: number;
  readonly repeats: number;
}

const DEFAULT: Extent = { sizes: [0, 64, 1_000, 10_000, 100_000], budgetMs: 2_000, repeats: 3 };
const FULL: Extent = { ...DEFAULT, budgetMs: 10_000, repeats: 9 };

const PLOT = "docs/internals/new-flow-cost.svg";

/** The extent, by the command line. */
export function extentOf(full: boolean, sizes: readonly number[]): Extent {
  const extent = full ? FULL : DEFAULT;
  return sizes.length > 0 ? { ...extent, sizes } : extent;
}

/** A backend of a side, in a node of its own. */
interface Way {
  readonly backend: BenchBackend;
  readonly side: Side;
  readonly node: BenchNode;
}

/** Prints the tables and writes the plot, if it has all sizes. */
export async function measureRules(sides: readonly Side[], extent: Extent): Promise<void> {
  const testbed = await createTestbed();
  try {
    console.log(`\n${machine()}`);
    const ways: Way[] = [];
    for (const backend of BACKENDS)
      for (const side of sides)
        ways.push({
          backend: { ...backend, name: titled(backend.name, side) },
          side,
          node: await testbed.addNode(),
        });
    const { costs, rows } = await measureAll(testbed, ways, extent);
    console.log(`\nProgramming, milliseconds and MB:\n${programmingTable(rows)}`);
    printFlows(costs, ways);
    if (extent.sizes === DEFAULT.sizes && sides.length === 1) writePlot(costs);
  } finally {
    testbed.close();
  }
}

interface Measured {
  readonly costs: FlowCost[];
  readonly rows: ProgrammingRow[];
}

async function measureAll(testbed: Testbed, ways: readonly Way[], extent: Extent): Promise<Measured> {
  const { sizes, budgetMs, repeats } = extent;
  const floors = [await addFloor(testbed), await addFloor(testbed)] as const;
  const sender = startSender(testbed);
  const measured: Measured = { costs: [], rows: [] };
  for (const count of sizes) {
    for (const { backend, side, node } of ways) {
      const cost = await programByAgent(testbed, node, side, backend.flags, count, repeats);
      if (count > 0) measured.rows.push({ name: backend.name, count, ...cost });
    }
    for (const group of ["chains", "sets"] as const) {
      const targets = targetsOf(floors, ways, group);
      measured.costs.push(...(await measureFlows(testbed, sender, targets, count, budgetMs)));
    }
    console.error(`${(performance.now() / 1000).toFixed(0)} s: ${count} CIDRs measured`);
  }
  sender.end();
  return measured;
}

async function addFloor(testbed: Testbed): Promise<BenchNode> {
  const node = await testbed.addNode();
  await runTool(node, FLOOR);
  return node;
}

function printFlows(costs: readonly FlowCost[], ways: readonly Way[]): void {
  const floor = median(costs.map(({ floorNs }) => floorNs));
  const alone = median(costs.map(({ aloneNs }) => aloneNs));
  console.log(
    `\nA new flow with one MASQUERADE rule costs ${floor.toFixed(0)} ns in the node, sending it ${alone.toFixed(0)} ns.`,
  );
  console.log(`\nNew flow, ratio to one MASQUERADE rule:\n${ratioTable(costs)}\n`);
  for (const { name } of ways.map(({ backend }) => backend)) {
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
  const [title, subtitle] = [
    "What a new flow costs in the node",
    "Worst case; less is better, both axes logarithmic",
  ];
  writeFileSync(PLOT, renderPlot(title, subtitle, series, floorNs));
  console.log(`written: ${PLOT}`);
}

/** Rules in the kernel: every backend with every length of the list, programmed and then sent flows through. */
import { type FlowCost, measureFlows, startSender, type Target } from "./flows.ts";
import { PLACES, POSITIONS } from "./lists.ts";
import { writePlot } from "./plot.ts";
import { type AgentCost, programByAgent } from "./programming.ts";
import { machine, significant, table, thousands } from "./report.ts";
import { type Run, type Side, titled } from "./sides.ts";
import { median } from "./statistics.ts";
import { type BenchNode, createTestbed, type Testbed } from "./testbed.ts";

const SIZES = [0, 64, 1_000, 10_000, 100_000];
const PLOT = "docs/internals/new-flow-cost.svg";

/**
 * The backends in the order in which they are shown, with the agent's flags. Those of a group are measured in the same rounds: a walk
 * through a long chain leaves nothing of a set in the processor's caches.
 */
const BACKENDS = [
  { name: "iptables chain (nft)", group: "chains", flags: "--iptables-mode=nft --ipset-threshold=0" },
  { name: "iptables chain (legacy)", group: "chains", flags: "--iptables-mode=legacy --ipset-threshold=0" },
  { name: "iptables + ipset", group: "sets", flags: "--iptables-mode=nft --ipset-threshold=1" },
  { name: "nftables", group: "sets", flags: "--backend=nftables" },
] as const;

const LIST_NFT = ["nft", "-t", "list", "ruleset"];
const LIST_LEGACY = ["iptables-legacy-save", "-c", "-t", "nat"];

/** The floor: masquerading without any exception. */
const FLOOR = "*nat\n-A POSTROUTING -j MASQUERADE --random-fully\nCOMMIT\n";

/** A backend of a side, in a node of its own. */
interface Way extends Target {
  readonly group: string;
  readonly flags: readonly string[];
  readonly side: Side;
}

interface Measured {
  readonly costs: FlowCost[];
  readonly rows: (AgentCost & { readonly name: string; readonly count: number })[];
}

/** Prints the tables and writes the plot, if it has all sizes. */
export async function measureRules(run: Run): Promise<void> {
  const testbed = await createTestbed();
  try {
    console.log(`\n${machine()}`);
    const ways: Way[] = [];
    for (const { name, group, flags } of BACKENDS)
      for (const side of run.sides) {
        const listing = name.includes("legacy") ? LIST_LEGACY : LIST_NFT;
        const node = await testbed.addNode();
        ways.push({ name: titled(name, side), group, flags: flags.split(" "), side, listing, node });
      }
    const { costs, rows } = await measureAll(testbed, ways, run);
    console.log(`\nProgramming, milliseconds and MB:\n${programmingTable(rows)}`);
    printFlows(costs, ways);
    if (run.sizes === undefined && run.sides.length === 1) drawPlot(costs);
  } finally {
    testbed.close();
  }
}

async function measureAll(testbed: Testbed, ways: readonly Way[], run: Run): Promise<Measured> {
  const [budgetMs, repeats] = run.full ? [10_000, 9] : [2_000, 3];
  const floors = [await addFloor(testbed), await addFloor(testbed)] as const;
  const sender = await startSender(testbed);
  const measured: Measured = { costs: [], rows: [] };
  for (const count of run.sizes ?? SIZES) {
    for (const { name, node, side, flags } of ways) {
      const cost = await programByAgent(testbed, node, side, flags, count, repeats);
      if (count > 0) measured.rows.push({ name, count, ...cost });
    }
    for (const group of ["chains", "sets"]) {
      // A second floor is measured like a backend: its distance from the first shows the noise.
      const floor = { name: "floor", node: floors[0], listing: LIST_NFT, isFloor: true };
      const again = { ...floor, name: `the floor again, beside ${group}`, node: floors[1] };
      const targets = [floor, again, ...ways.filter((way) => way.group === group)];
      measured.costs.push(...(await measureFlows(testbed, sender, targets, count, budgetMs)));
    }
    console.error(`${(performance.now() / 1000).toFixed(0)} s: ${count} CIDRs measured`);
  }
  sender.end();
  return measured;
}

async function addFloor(testbed: Testbed): Promise<BenchNode> {
  const node = await testbed.addNode();
  await node.run("iptables-nft-restore", ["--noflush"], FLOOR);
  return node;
}

function programmingTable(rows: Measured["rows"]): string {
  const cells = rows.map(({ name, count, full, one }) => [
    name,
    ...[count, full.ms, full.passMs, full.peakMb, one.ms, one.passMs, one.peakMb].map(thousands),
  ]);
  const head = ["backend", "CIDRs", "full: ms", "pass", "peak MB", "one entry: ms", "pass", "peak MB"];
  return table(head, cells);
}

function printFlows(costs: readonly FlowCost[], ways: readonly Way[]): void {
  const [floor, alone] = (["floorNs", "aloneNs"] as const).map((key) =>
    median(costs.map((cost) => cost[key])).toFixed(0),
  );
  console.log(`\nA new flow with one MASQUERADE rule costs ${floor} ns in the node, sending it ${alone} ns.`);
  console.log(`\nNew flow, ratio to one MASQUERADE rule:\n${ratioTable(costs)}\n`);
  for (const { name } of ways) {
    const same = worstOf(costs, name, ["first", "last", "gap"]).at(-1);
    const random = worstOf(costs, name).at(-1);
    if (same !== undefined && random !== undefined)
      console.log(
        `${name}, ${thousands(same.count)} CIDRs: at worst ${ratioOf(same).toFixed(2)}x for destinations that recur, ${ratioOf(random).toFixed(2)}x with random ones`,
      );
  }
}

/** A flow's cost as a multiple of the floor: the figure to compare between machines. */
function ratioOf({ aboveNs, floorNs }: FlowCost): number {
  return 1 + aboveNs / floorNs;
}

/** The most expensive of some positions, for each length of the list. */
function worstOf(costs: readonly FlowCost[], name: string, positions = POSITIONS): readonly FlowCost[] {
  const mine = costs.filter((cost) => cost.name === name && positions.includes(cost.position));
  return mine.filter((one) =>
    mine.every((other) => other.count !== one.count || ratioOf(other) <= ratioOf(one)),
  );
}

/** Ratios of each backend, a row for each length of the list, a column for each position; ± from the confidence interval. */
function ratioTable(costs: readonly FlowCost[]): string {
  const rows = new Map<string, string[]>();
  for (const cost of costs) {
    const { name, count, position, errorNs, floorNs } = cost;
    const row = rows.get(`${name} ${count}`) ?? [name, thousands(count), ...POSITIONS.map(() => "")];
    const cell = `${significant(ratioOf(cost))}x ± ${significant(errorNs / floorNs)}`;
    rows.set(`${name} ${count}`, row.with(2 + POSITIONS.indexOf(position), cell));
  }
  const head = ["backend", "CIDRs", ...POSITIONS.map((position) => PLACES[position].title)];
  // Lengths stay in their order.
  const byName = ([a = ""]: readonly string[], [b = ""]: readonly string[]) => (a === b ? 0 : a < b ? -1 : 1);
  return table(head, [...rows.values()].sort(byName));
}

function drawPlot(costs: readonly FlowCost[]): void {
  const floorNs = median(costs.map((cost) => cost.floorNs));
  const series = BACKENDS.map(({ name }) => {
    const worst = worstOf(costs, name).filter(({ count }) => count > 0);
    return { name, points: worst.map((cost) => [cost.count, ratioOf(cost) * floorNs] as const) };
  });
  const highest = Math.max(...series.flatMap(({ points }) => points.map(([, ns]) => ns)));
  const [low, high] = [Math.floor(Math.log10(floorNs)), Math.ceil(Math.log10(highest))];
  const ends = series.map(({ name, points }) => ({ name, at: points.at(-1)?.[1] ?? floorNs }));
  writePlot(PLOT, {
    title: "What a new flow costs in the node",
    subtitle: "Worst case; less is better, both axes logarithmic",
    x: { label: "CIDRs in the list", isLogarithmic: true, ticks: SIZES.slice(1), text: thousands },
    y: {
      ...{ isLogarithmic: true, text: duration },
      ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    },
    series,
    dashed: { y: [floorNs] },
    labels: [...ends, { name: "one rule, no list", at: floorNs }],
  });
}

function duration(ns: number): string {
  if (ns >= 1e6) return `${ns / 1e6} ms`;
  return ns >= 1e3 ? `${ns / 1e3} µs` : `${ns} ns`;
}

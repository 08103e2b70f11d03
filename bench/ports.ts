/**
 * How many new connections fail, by the share of source ports that are in use towards one remote: the kernel's own behaviour, on which the
 * thresholds of alerts and of `ports` rest. A process in a pod with several addresses makes UDP flows, each from a random port of
 * its own; nobody answers, and no flow is forgotten meanwhile. A flow that finds no port fails, and the kernel counts it.
 */
import { countPorts, KERNEL_PORTS, parsePorts } from "../src/core/ports.ts";
import { parseConntrackCounters } from "../src/system/conntrack-stats.ts";
import { command } from "../test/lab/command.ts";
import { createLab, type Lab } from "../test/lab/network/lab.ts";
import { type Fields, renderRules } from "./agent.ts";
import { writePlot } from "./plot.ts";
import { machine } from "./report.ts";
import { openSocket } from "./sender.ts";
import type { Run, Side } from "./sides.ts";
import { serveTask, startTask } from "./task.ts";

/** How the kernel chooses ports, by the agent's flags and, if there are any, the addresses that each flow takes one of. */
interface Kind {
  readonly name: string;
  readonly toPorts?: string;
  readonly flags?: readonly string[];
  readonly addresses?: readonly string[];
  /** The thresholds of the alerts rest on it. */
  readonly isLimited?: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "all ports", isLimited: true },
  { name: "one range", toPorts: "32768-65535" },
  { name: "two ranges", toPorts: "1024-29999,32768-65535" },
  { name: "not random", flags: ["--random-fully=false"] },
  { name: "two addresses", addresses: ["192.0.2.10", "192.0.2.11"], isLimited: true },
];

/** The pod's, in the lab's network. */
export const PODS = ["10.244.1.11", "10.244.1.12", "10.244.1.13", "10.244.1.14"];
/** No address of the lab's world, which drops the packets without a word. */
const NOBODY = { address: "203.0.113.99", port: 443 };
const PLOT = "docs/internals/source-ports.svg";

/** Of all ports in each step; finer where it matters. */
const STEP = 0.01;
const FROM = 0.7;
/** The lowest share of failures that a step can show is one of its flows. */
const LOWEST = 0.0005;
/** Bands of the printed table. */
const BANDS = [0, 0.81, 0.84, 0.87, 0.9, 0.93, 0.96, 0.98, 1];

/** Around this share of the ports were in use when so many flows were tried, of which some failed. */
interface Step {
  readonly share: number;
  readonly tried: number;
  readonly failed: number;
}

/** Prints the share of failures in bands, and draws the curve. Throws if failures begin where no alert has fired yet. */
export async function measurePorts({ sides: [side], full }: Run): Promise<void> {
  console.log(`\n${machine()}`);
  const series = [];
  for (const kind of KINDS) {
    const steps: Step[] = [];
    for (let i = 0; i < (full ? 3 : 1); i++) steps.push(...(await fill(side, kind)));
    const bands = BANDS.slice(1).map((to, i) => {
      const from = BANDS[i] ?? 0;
      return `${Math.round(from * 100)}-${Math.round(to * 100)} %: ${percent(failuresIn(steps, from, to))}`;
    });
    console.log(`${kind.name}: ${bands.join(", ")}`);
    series.push({ name: kind.name, points: curveOf(steps) });
    const early = failuresIn(steps, 0, 0.8);
    if (kind.isLimited && early > LOWEST)
      throw new Error(`${kind.name}: ${percent(early)} of new connections fail below 80 % of the ports`);
  }
  const round = (share: number) => `${Number((100 * share).toPrecision(2))} %`;
  writePlot(PLOT, {
    title: "New connections that fail, by the source ports in use",
    subtitle: "Towards one address, port and protocol; the alerts fire at 80 and 90 %",
    x: { label: "source ports in use", ticks: [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1], text: round },
    y: { isLogarithmic: true, from: LOWEST, ticks: [0.001, 0.01, 0.1, 1], text: round },
    series,
    dashed: { x: [0.8, 0.9] },
    // One below the other, from the top.
    labels: series.map(({ name }, i) => ({ name, at: 0.69 / 1.5 ** i })),
  });
}

/** Uses up all ports, in a lab of its own. */
async function fill(
  side: Side,
  { toPorts = "", flags = [], addresses = [] }: Kind,
): Promise<readonly Step[]> {
  const lab = await portsLab(
    side,
    [...flags, ...(toPorts === "" ? [] : [`--to-ports=${toPorts}`])],
    addresses.length === 0 ? {} : { outputAddresses: addresses, outputAddressBy: "flow" },
  );
  try {
    const parsed = parsePorts(toPorts);
    const ranges = parsed.ok && toPorts !== "" ? parsed.ranges : [KERNEL_PORTS];
    const ports = countPorts(ranges) * Math.max(1, addresses.length);
    const task = await startTask<number, null>(lab.inside("pod"), "filler");
    const steps: Step[] = [];
    let { entries, failures } = await look(lab);
    for (let idle = 0; entries / ports < 0.998 && idle < 25; ) {
      // Below what is drawn, one large step will do.
      const share = entries / ports < FROM ? FROM - entries / ports + 0.001 : STEP;
      const tried = Math.ceil(ports * Math.max(share, STEP / 2));
      await task.ask(tried);
      const now = await look(lab);
      steps.push({ share: (entries + now.entries) / 2 / ports, tried, failed: now.failures - failures });
      idle = (now.entries - entries) / ports < STEP / 10 ? idle + 1 : 0;
      ({ entries, failures } = now);
    }
    task.end();
    return steps;
  } finally {
    await lab.close();
  }
}

/** A node with the agent's rules, and a pod with the addresses of several. */
export async function portsLab(side: Side, flags: readonly string[], fields: Fields): Promise<Lab> {
  const lab = await createLab();
  const inside = async (place: "pod" | "node", argv: readonly string[], stdin = "") => {
    const [file = "", ...args] = lab.inside(place, ...argv);
    await command(file, args, { stdin });
  };
  const script = await renderRules(side, lab.directory, fields, ["--backend=nftables", ...flags]);
  await inside("node", ["sh", "-e"], script);
  const timeouts = ["udp_timeout", "udp_timeout_stream"].map(
    (name) => `net.netfilter.nf_conntrack_${name}=3600`,
  );
  await inside("node", ["sysctl", "-q", "-w", ...timeouts]);
  await inside("pod", ["ip", "-batch", "-"], PODS.map((pod) => `addr add ${pod}/24 dev eth0\n`).join(""));
  // Their own ports are all that a socket can have.
  await inside("pod", ["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65535"]);
  return lab;
}

async function look({ inNode }: Lab): Promise<{ readonly entries: number; readonly failures: number }> {
  const paths = ["/proc/sys/net/netfilter/nf_conntrack_count", "/proc/net/stat/nf_conntrack"];
  const [count = "", ...stat] = (await inNode("cat", paths)).stdout.split("\n");
  const { insert_failed: failures = 0 } = parseConntrackCounters(stat.join("\n"));
  return { entries: Number(count), failures };
}

/** Makes as many flows in the pod as it is asked for: one packet each from an address and port that no flow has had. */
export function filler(): Promise<void> {
  const used = new Set<string>();
  return serveTask<number>(async (flows) => {
    for (let made = 0; made < flows; ) {
      const address = PODS[Math.floor(Math.random() * PODS.length)] ?? "";
      const port = 1_024 + Math.floor(Math.random() * 64_512);
      if (used.has(`${address} ${port}`)) continue;
      used.add(`${address} ${port}`);
      made++;
      const socket = await openSocket({ address, port });
      await new Promise<void>((resolve) =>
        socket.send("x", NOBODY.port, NOBODY.address, () => socket.close(() => resolve())),
      );
    }
  });
}

/** The share of flows that failed while this share of the ports was in use. */
function failuresIn(steps: readonly Step[], from: number, to: number): number {
  const inside = steps.filter(({ share }) => share > from && share <= to);
  const sum = (of: "tried" | "failed") => inside.reduce((all, step) => all + step[of], 0);
  return sum("failed") / Math.max(1, sum("tried"));
}

/** One point for each hundredth, over all repeats; none where nothing failed. */
function curveOf(steps: readonly Step[]): readonly (readonly [number, number])[] {
  const hundredths = Array.from({ length: 100 * (1 - FROM) }, (_, i) => FROM + i / 100);
  return hundredths.flatMap((from) => {
    const failed = failuresIn(steps, from, from + 0.01);
    return failed === 0 ? [] : [[from + 0.005, Math.max(failed, LOWEST)] as const];
  });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.01 ? 2 : 1)} %`;
}

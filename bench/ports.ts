/**
 * How many new connections fail, by the share of source ports that are in use towards one remote: the kernel's own behaviour, on which the
 * thresholds of alerts and of `ports` rest. A process in a pod with several addresses makes UDP flows, each from a random port of
 * its own; nobody answers, and no flow is forgotten meanwhile. A flow that finds no port fails, and the kernel counts it.
 */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { countPorts, KERNEL_PORTS, parsePorts } from "../src/core/ports.ts";
import { parseConntrackCounters } from "../src/system/conntrack-stats.ts";
import { agentBundle } from "../test/lab/network/lab.ts";
import { renderShares, type Series } from "./plot.ts";
import { machine } from "./report.ts";
import { type BenchNode, createTestbed, type Testbed } from "./testbed.ts";

/** How the kernel chooses ports, by the agent's flags and, if there are any, the addresses that each flow takes one of. */
interface Kind {
  readonly name: string;
  readonly toPorts: string;
  readonly flags: readonly string[];
  readonly addresses?: readonly string[];
}

const KINDS = [
  { name: "all ports", toPorts: "", flags: [] },
  { name: "one range", toPorts: "32768-65535", flags: [] },
  { name: "two ranges", toPorts: "1024-29999,32768-65535", flags: [] },
  { name: "not random", toPorts: "", flags: ["--random-fully=false"] },
  { name: "two addresses", toPorts: "", flags: [], addresses: ["192.0.2.10", "192.0.2.11"] },
] as const satisfies readonly Kind[];

/** The kinds on which the thresholds of the alerts rest. */
const LIMITED: readonly string[] = ["all ports", "two addresses"];

export const PODS = ["10.200.1.11", "10.200.1.12", "10.200.1.13", "10.200.1.14"];
export const REMOTE = { address: "198.51.100.7", port: 443 };
const PLOT = "docs/internals/source-ports.svg";

/** Of all ports in each step; finer where it matters. */
const STEP = 0.01;
const FROM = 0.7;
/** The lowest share of failures that a step can show is one of its flows. */
const LOWEST = 0.0005;

/** From `from` to `to` of the ports were in use when so many flows were tried, of which some failed. */
interface Step {
  readonly from: number;
  readonly to: number;
  readonly tried: number;
  readonly failed: number;
}

/** Bands of the printed table. */
const BANDS = [0, 0.81, 0.84, 0.87, 0.9, 0.93, 0.96, 0.98, 1];

/** Prints the share of failures in bands, and draws the curve. Throws if failures begin where no alert has fired yet. */
export async function measurePorts(repeats: number): Promise<void> {
  console.log(`\n${machine()}`);
  const series: Series[] = [];
  for (const kind of KINDS) {
    const steps: Step[] = [];
    for (let i = 0; i < repeats; i++) steps.push(...(await fill(kind)));
    console.log(
      `${kind.name}: ${BANDS.slice(1)
        .map((to, i) => band(steps, BANDS[i] ?? 0, to))
        .join(", ")}`,
    );
    series.push({ name: kind.name, points: curveOf(steps) });
    if (!LIMITED.includes(kind.name)) continue;
    const early = shareOf(steps.filter(({ to }) => to <= 0.8));
    if (early > LOWEST)
      throw new Error(`${kind.name}: ${percent(early)} of new connections fail below 80 % of the ports`);
  }
  const title = "New connections that fail, by the source ports in use";
  const subtitle = "Towards one address, port and protocol; the alerts fire at 80 and 90 %";
  writeFileSync(
    PLOT,
    renderShares(title, subtitle, series, { from: FROM, lowest: LOWEST, marks: [0.8, 0.9] }),
  );
  console.log(`written: ${PLOT}`);
}

/** Uses up all ports, in a testbed of its own. */
async function fill({ toPorts, flags, addresses = [] }: Kind): Promise<readonly Step[]> {
  const testbed = await createTestbed();
  try {
    const more = [
      ...(toPorts === "" ? [] : [`--to-ports=${toPorts}`]),
      ...(addresses.length === 0 ? [] : [`--node-address=${addresses.join(",")}`]),
    ];
    const node = await prepare(testbed, [...flags, ...more], addresses);
    const parsed = parsePorts(toPorts);
    const ranges = parsed.ok && toPorts !== "" ? parsed.ranges : [KERNEL_PORTS];
    const ports = countPorts(ranges) * Math.max(1, addresses.length);
    const filler = startFiller(testbed);
    const steps: Step[] = [];
    let { entries, failures } = await look(node);
    for (let idle = 0; entries / ports < 0.998 && idle < 25; ) {
      // Below what is drawn, one large step will do.
      const share = entries / ports < FROM ? FROM - entries / ports + 0.001 : STEP;
      const tried = Math.ceil(ports * Math.max(share, STEP / 2));
      await filler.make(tried);
      const now = await look(node);
      const [from, to] = [entries / ports, now.entries / ports];
      steps.push({ from, to, tried, failed: now.failures - failures });
      idle = to - from < STEP / 10 ? idle + 1 : 0;
      ({ entries, failures } = now);
    }
    filler.end();
    return steps;
  } finally {
    testbed.close();
  }
}

/** A node with the agent's rules, and a pod with the addresses of several. */
export async function prepare(
  testbed: Testbed,
  flags: readonly string[],
  outputAddresses: readonly string[],
): Promise<BenchNode> {
  const node = await testbed.addNode();
  const config = join(testbed.directory, "config");
  writeFileSync(
    config,
    JSON.stringify({
      nonMasqueradeCIDRs: ["10.0.0.0/8"],
      ...(outputAddresses.length > 0 && { outputAddresses, outputAddressBy: "flow" }),
    }),
  );
  const render = ["render", "--no-adopt", `--config=${config}`, "--backend=nftables", ...flags];
  const script = await node.run(process.execPath, [agentBundle(), ...render]);
  await node.run("sh", ["-e"], script);
  const timeouts = ["udp_timeout", "udp_timeout_stream"].map(
    (name) => `net.netfilter.nf_conntrack_${name}=3600`,
  );
  await node.run("sysctl", ["-q", "-w", ...timeouts]);
  await node.run("sysctl", ["-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.pod0.rp_filter=0"]);
  const addresses = PODS.flatMap((pod) => [`addr add ${pod}/24 dev eth1`, `rule add from ${pod} table 101`]);
  for (const line of addresses) await inPod(testbed, ["ip", ...line.split(" ")]);
  // Their own ports are all that a socket can have.
  await inPod(testbed, ["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65535"]);
  return node;
}

/** Runs a tool in the pod, which must succeed. */
export function inPod({ podPrefix }: Pick<Testbed, "podPrefix">, argv: readonly string[]): Promise<void> {
  const [file = "", ...args] = [...podPrefix, ...argv];
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "inherit"] });
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(argv.join(" ")))));
  });
}

async function look(node: BenchNode): Promise<{ readonly entries: number; readonly failures: number }> {
  const paths = ["/proc/sys/net/netfilter/nf_conntrack_count", "/proc/net/stat/nf_conntrack"];
  const [count = "", ...stat] = (await node.run("cat", paths)).split("\n");
  const counters = new Map(Object.entries(parseConntrackCounters(stat.join("\n"))));
  return { entries: Number(count), failures: counters.get("insert_failed") ?? 0 };
}

/** Makes flows in the pod until it is ended: this program, with another task. */
function startFiller({ podPrefix }: Testbed) {
  const [file = "", ...args] = [...podPrefix, process.execPath, process.argv[1] ?? "", "--filler"];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async make(flows: number): Promise<void> {
      child.stdin.write(`${flows}\n`);
      if ((await replies.next()).done === true) throw new Error("the filler has ended");
    },
    end: () => child.stdin.end(),
  };
}

/** Reads numbers of flows, a line each, until the input ends. */
export function fillerChild(): void {
  const used = new Set<string>();
  createInterface({ input: process.stdin })
    .on("line", async (line) => {
      for (let i = 0; i < Number(line); i++) await makeFlow(used);
      process.stdout.write("made\n");
    })
    .on("close", () => process.exit(0));
}

/** One packet from an address and port that no flow has had. */
function makeFlow(used: Set<string>): Promise<void> {
  for (;;) {
    const address = PODS[Math.floor(Math.random() * PODS.length)] ?? "";
    const port = 1_024 + Math.floor(Math.random() * 64_512);
    if (used.has(`${address} ${port}`)) continue;
    used.add(`${address} ${port}`);
    const socket = createSocket({ type: "udp4", lookup: (host, _options, done) => done(null, host, 4) });
    return new Promise((resolve, reject) => {
      socket.once("error", reject).bind(port, address, () => {
        socket.send("x", REMOTE.port, REMOTE.address, () => socket.close(() => resolve()));
      });
    });
  }
}

function shareOf(steps: readonly Step[]): number {
  const [tried, failed] = [steps.map((step) => step.tried), steps.map((step) => step.failed)].map((all) =>
    all.reduce((sum, count) => sum + count, 0),
  );
  return tried === undefined || failed === undefined || tried === 0 ? 0 : failed / tried;
}

function band(steps: readonly Step[], from: number, to: number): string {
  const inside = steps.filter((step) => middle(step) > from && middle(step) <= to);
  return `${Math.round(from * 100)}-${Math.round(to * 100)} %: ${percent(shareOf(inside))}`;
}

function middle({ from, to }: Step): number {
  return (from + to) / 2;
}

/** One point for each hundredth, over all repeats; none where nothing failed. */
function curveOf(steps: readonly Step[]): readonly (readonly [number, number])[] {
  const places = [...new Set(steps.map((step) => Math.floor(middle(step) * 100)))].sort((a, b) => a - b);
  return places.flatMap((place) => {
    const here = steps.filter((step) => Math.floor(middle(step) * 100) === place);
    const share = shareOf(here);
    return share === 0 || place < FROM * 100 ? [] : [[(place + 0.5) / 100, share] as const];
  });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.01 ? 2 : 1)} %`;
}

/**
 * The namespaces in which flows are measured, which the tests' lab does not have: one process sends through all nodes in turn. One
 * pod has an address for each of several nodes, which it takes as the router for packets from that address; beyond the nodes is one
 * world. It drops a packet at its device, since its hardware address is another: the measured cost is that of the node alone.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../test/lab/command.ts";
import { findTool } from "../test/lab/network/lab.ts";
import { atTheEnd, PREFIX, removeLeftovers, removeNow } from "../test/lab/network/remains.ts";
import { batch } from "../test/lab/network/topology.ts";

/** One node of the bench. */
export interface BenchNode {
  /** The pod's address whose packets go through this node. */
  readonly source: string;
  /** Starts a command in it. */
  readonly prefix: readonly string[];
  /** Runs a tool in it, which must succeed; returns its output. */
  readonly run: (file: string, args: readonly string[], stdin?: string) => Promise<string>;
}

/** The namespaces of one run. */
export interface Testbed {
  /** For files of the run's own. */
  readonly directory: string;
  /** For the tools: a lock of the run's own among them. */
  readonly env: NodeJS.ProcessEnv;
  /** Starts a command in the pod. */
  readonly podPrefix: readonly string[];
  /** The pod's address whose packets reach the world through no node. */
  readonly aloneSource: string;
  readonly addNode: () => Promise<BenchNode>;
  readonly close: () => void;
}

/** A hardware address that no device has. */
const NOBODY = "02:00:00:00:00:99";
const ROUTER = "02:00:00:00:00:01";

/** Flows are forgotten after a second: they are many. IPv6 is off since its own packets would be counted. */
const SYSCTLS = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
const NODE_SYSCTLS = ["net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_udp_timeout=1"];

/** Makes a pod and a world without nodes yet. Only root can. */
export async function createTestbed(): Promise<Testbed> {
  const ip = findTool("ip");
  removeLeftovers(ip);
  const base = `${PREFIX}-${process.pid}-bench`;
  const directory = mkdtempSync(join(tmpdir(), `${base}-`));
  const env = { ...process.env, XTABLES_LOCKFILE: join(directory, "xtables.lock") };
  const names = { pod: `${base}-pod`, world: `${base}-world` };
  const nodes: string[] = [];
  const close = atTheEnd(() => removeNow(ip, [...nodes, ...Object.values(names)], [directory]));
  for (const name of Object.values(names)) await addNamespace(ip, name, SYSCTLS);
  await batch(ip, ["-n", names.pod], ["link set lo up", ...wayCommands(0, "world0", names.world, NOBODY)]);
  await batch(ip, ["-n", names.world], ["link set world0 up"]);
  return {
    directory,
    env,
    podPrefix: [ip, "netns", "exec", names.pod],
    aloneSource: sourceOf(0),
    close,
    async addNode() {
      const index = nodes.length + 1;
      const namespace = `${base}-node${index}`;
      nodes.push(namespace);
      await addNamespace(ip, namespace, [...SYSCTLS, ...NODE_SYSCTLS]);
      await batch(ip, ["-n", names.pod], wayCommands(index, "pod0", namespace, ROUTER));
      await batch(ip, ["-n", namespace], nodeCommands(index, names.world));
      await batch(ip, ["-n", names.world], [`link set world${index} up`]);
      return createNode(ip, namespace, sourceOf(index), env);
    },
  };
}

function createNode(ip: string, namespace: string, source: string, env: NodeJS.ProcessEnv): BenchNode {
  const inside = ["netns", "exec", namespace];
  return {
    source,
    prefix: [ip, ...inside],
    run: (file, args, stdin = "") => command(ip, [...inside, file, ...args], { stdin, env }),
  };
}

function sourceOf(index: number): string {
  return `10.200.${index}.2`;
}

/** In the pod: a device to a node or to the world, and its router for packets from the device's address. */
function wayCommands(index: number, peer: string, peerNamespace: string, lladdr: string): string[] {
  const device = `eth${index}`;
  const router = `10.200.${index}.1`;
  return [
    `link add ${device} type veth peer name ${peer} netns ${peerNamespace}`,
    `addr add ${sourceOf(index)}/24 dev ${device}`,
    `link set ${device} up`,
    // Known from the start, so that no packet waits for an answer.
    `neigh add ${router} lladdr ${lladdr} dev ${device} nud permanent`,
    `route add default via ${router} table ${100 + index}`,
    `rule add from ${sourceOf(index)} table ${100 + index}`,
    ...(index === 0 ? [`route add default via ${router}`] : []),
  ];
}

function nodeCommands(index: number, world: string): string[] {
  return [
    `link add eth0 type veth peer name world${index} netns ${world}`,
    `link set pod0 address ${ROUTER}`,
    `addr add 10.200.${index}.1/24 dev pod0`,
    "addr add 192.0.2.1/24 dev eth0",
    "link set lo up",
    "link set pod0 up",
    "link set eth0 up",
    `neigh add 192.0.2.2 lladdr ${NOBODY} dev eth0 nud permanent`,
    "route add default via 192.0.2.2",
  ];
}

async function addNamespace(ip: string, name: string, sysctls: readonly string[]): Promise<void> {
  await command(ip, ["netns", "add", name]);
  await command(ip, ["netns", "exec", name, "sysctl", "-q", "-w", ...sysctls]);
}

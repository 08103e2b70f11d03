/**
 * Whose packets are masqueraded, and as whom: the rows of one table, and what the documentation says becomes of each under a
 * configuration. It shares no code with the agent, so that both must agree with the kernel rather than with each other.
 */
import { BlockList, isIPv6 } from "node:net";

export type Family = "IPv4" | "IPv6";

/** The keys and flags that decide about packets; the fields are the file's, an absent one is as if the key were not there. */
export interface PacketSettings {
  readonly nonMasqueradeCIDRs?: readonly string[];
  readonly masqueradeCIDRs?: readonly string[];
  readonly masqueradeSourceCIDRs?: readonly string[];
  readonly nonMasqueradeSourceCIDRs?: readonly string[];
  readonly outputInterfaces?: readonly string[];
  /** Of these the node has `pool`. */
  readonly outputAddresses?: readonly string[];
  readonly outputAddressBy?: "pod" | "flow";
  readonly masqLinkLocal?: boolean;
  readonly masqLinkLocalIPv6?: boolean;
  /** Not a key: the node's own addresses within `outputAddresses`, in numeric order. */
  readonly pool?: readonly string[];
  /** Not a key: the flag's ranges. */
  readonly toPorts?: readonly (readonly [number, number])[];
}

/** A packet at POSTROUTING, after a Service's DNAT. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly link: LinkName;
}

/** The link's names and the addresses that MASQUERADE takes there. */
export const LINKS = {
  eth0: { IPv4: "192.0.2.1", IPv6: "2001:db8:ffff::1" },
  bond1: { IPv4: "192.0.3.1", IPv6: "2001:db8:fffe::1" },
  pod0: { IPv4: "10.244.1.1", IPv6: "fd00:244::1" },
  pod1: { IPv4: "10.244.2.1", IPv6: "fd00:244:2::1" },
  vx4: { IPv4: "10.245.0.1", IPv6: "" },
  vx6: { IPv4: "", IPv6: "fd00:245::1" },
} as const satisfies Readonly<Record<string, Readonly<Record<Family, string>>>>;

export type LinkName = keyof typeof LINKS;

/** The addresses of others. On `lo` of the node is `second`, from where its own daemons talk. */
export const PLACES = {
  pod: { IPv4: "10.244.1.2", IPv6: "fd00:244::2" },
  excepted: { IPv4: "10.244.1.77", IPv6: "fd00:244::77" },
  nested: { IPv4: "10.244.1.78", IPv6: "fd00:244::7a" },
  otherNetwork: { IPv4: "172.30.4.5", IPv6: "fd99::5" },
  otherPod: { IPv4: "10.244.2.2", IPv6: "fd00:244:2::2" },
  podElsewhere: { IPv4: "10.244.3.2", IPv6: "fd00:244:3::2" },
  overlay: { IPv4: "10.245.7.7", IPv6: "fd00:245::7" },
  internet: { IPv4: "8.8.8.8", IPv6: "2001:4860:4860::8888" },
  kept: { IPv4: "10.10.0.1", IPv6: "fd00:10::1" },
  keptButMasqueraded: { IPv4: "10.10.1.1", IPv6: "fd00:10:1::1" },
  beyondBond: { IPv4: "100.65.0.1", IPv6: "2001:db8:65::1" },
  client: { IPv4: "203.0.113.7", IPv6: "2001:db8:1::1" },
  second: { IPv4: "192.0.2.200", IPv6: "2001:db8:ffff::200" },
  world: { IPv4: "192.0.2.2", IPv6: "2001:db8:ffff::2" },
} as const;

/** Networks of pods: every address in them may send. */
export const POD_NETWORKS: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ["10.244.1.64/26", "172.30.0.0/16"],
  IPv6: ["fd00:244::40/122", "fd99::/16"],
};
/** Ports of Services: the first leads to the pod, the second, with kube-proxy's mark, to one on another node. */
export const NODE_PORTS = { local: 30_080, elsewhere: 30_081 } as const;
/** The ports that the tunnels send from, and the one they send to. */
export const TUNNEL_PORTS = { first: 50_000, last: 51_000, to: 4_789 } as const;

/** A flow to make, and the packet that it is at POSTROUTING. */
export interface Row {
  readonly name: string;
  readonly family: Family;
  /** Where it begins and where it is looked at. */
  readonly from: "pod" | "node" | "world";
  readonly at: "world" | "pod";
  /** The socket's address; absent: the kernel's choice. */
  readonly source?: string;
  readonly sourcePort?: number;
  readonly destination: string;
  /** Absent: any of those that the receivers listen at. */
  readonly port?: number;
  readonly packet: Packet;
  /** Whose address is seen whatever the configuration says, since kube-proxy decides before. */
  readonly always?: string;
  /** The packet in a tunnel of which this is the outer one, or the outer one of it. */
  readonly tunnel?: "inner" | "outer";
}

type RowOf = (family: Family) => Omit<Row, "family" | "name">;

/** A pod's flow that leaves through a link. */
function ofPod(source: keyof typeof PLACES, destination: keyof typeof PLACES, link: LinkName): RowOf {
  return (family) => {
    const ends = { source: PLACES[source][family], destination: PLACES[destination][family] };
    return { from: "pod", at: "world", ...ends, packet: { ...ends, link } };
  };
}

/** A flow of the node itself. */
function ofNode(destination: keyof typeof PLACES, link: LinkName, at: Row["at"] = "world"): RowOf {
  return (family) => {
    const to = PLACES[destination][family];
    const packet = { source: LINKS[link][family], destination: to, link };
    return { from: "node", at, destination: to, packet };
  };
}

function tunnelled(tunnel: "inner" | "outer"): RowOf {
  return (family) => {
    const ends = { source: PLACES.pod[family], destination: PLACES.overlay[family] };
    const outer: Packet = { source: LINKS.eth0[family], destination: PLACES.world[family], link: "eth0" };
    const packet: Packet = tunnel === "outer" ? outer : { ...ends, link: family === "IPv4" ? "vx4" : "vx6" };
    return { from: "pod", at: "world", ...ends, packet, tunnel };
  };
}

/** A client's flow to a NodePort. */
function ofClient(port: number, pod: keyof typeof PLACES, link: LinkName, at: Row["at"]): RowOf {
  return (family) => {
    const [source, destination] = [PLACES.client[family], PLACES[pod][family]];
    const to = LINKS.eth0[family];
    return { from: "world", at, source, destination: to, port, packet: { source, destination, link } };
  };
}

const ROWS_OF: Readonly<Record<string, RowOf>> = {
  pod: ofPod("pod", "internet", "eth0"),
  "excepted pod": ofPod("excepted", "internet", "eth0"),
  "pod within the exception": ofPod("nested", "internet", "eth0"),
  "pod of another network": ofPod("otherNetwork", "internet", "eth0"),
  "pod to a listed destination": ofPod("pod", "kept", "eth0"),
  "pod to an exception": ofPod("pod", "keptButMasqueraded", "eth0"),
  "excepted pod to an exception": ofPod("excepted", "keptButMasqueraded", "eth0"),
  "pod to pod": ofPod("pod", "otherPod", "pod1"),
  "pod through a second link": ofPod("pod", "beyondBond", "bond1"),
  "excepted pod through a second link": ofPod("excepted", "beyondBond", "bond1"),
  "local socket on a second address": (family) => ({
    ...ofNode("internet", "eth0")(family),
    source: PLACES.second[family],
    sourcePort: 500,
    packet: { source: PLACES.second[family], destination: PLACES.internet[family], link: "eth0" },
  }),
  "unbound local socket": ofNode("internet", "eth0"),
  "unbound local socket through a second link": ofNode("beyondBond", "bond1"),
  "node to pod": ofNode("pod", "pod0", "pod"),
  "client of a local pod": ofClient(NODE_PORTS.local, "pod", "pod0", "pod"),
  "client of a pod elsewhere": (family) => ({
    ...ofClient(NODE_PORTS.elsewhere, "podElsewhere", "eth0", "world")(family),
    always: LINKS.eth0[family],
  }),
  "outer packet of a tunnel": tunnelled("outer"),
  "packet within a tunnel": tunnelled("inner"),
};

/** Every row in both families. */
export const ROWS: readonly Row[] = (["IPv4", "IPv6"] as const).flatMap((family) =>
  Object.entries(ROWS_OF).map(([name, rowOf]) => ({ name, family, ...rowOf(family) })),
);

/** What a receiver may see as the sender: one of these addresses; the port is the sender's own where it is `kept`. */
export interface Expected {
  readonly addresses: readonly string[];
  readonly isKept: boolean;
}

/** What becomes of a packet that is not for the node itself. */
export function expectedOf(settings: PacketSettings, packet: Packet): Expected {
  const kept = { addresses: [packet.source], isKept: true };
  if (!isOurs(settings, packet) || isListed(settings, packet.destination)) return kept;
  const family = familyOf(packet.source);
  const pool = (settings.pool ?? []).filter((address) => familyOf(address) === family);
  if (pool.length === 0) return { addresses: [LINKS[packet.link][family]], isKept: false };
  if (settings.outputAddressBy === "flow") return { addresses: pool, isKept: false };
  const slots = [1, 2, 4, 8].includes(pool.length) ? pool.length : 16;
  return { addresses: [pool[(lowBits(packet.source) % slots) % pool.length] ?? ""], isKept: false };
}

/** The same for a row. */
export function expectedOfRow(settings: PacketSettings, { packet, always }: Row): Expected {
  return always === undefined ? expectedOf(settings, packet) : { addresses: [always], isKept: false };
}

/** By the source, then by the link. */
export function isOurs(settings: PacketSettings, { source, link }: Packet): boolean {
  const { masqueradeSourceCIDRs = [], nonMasqueradeSourceCIDRs = [], outputInterfaces = [] } = settings;
  const family = familyOf(source);
  const isFirstEmpty = !masqueradeSourceCIDRs.some((cidr) => familyOf(cidr) === family);
  const ours = longest(masqueradeSourceCIDRs, source);
  const others = longest(nonMasqueradeSourceCIDRs, source);
  const bySource = ours < 0 && others < 0 ? isFirstEmpty : ours > others;
  const isThere = outputInterfaces.some((name) =>
    name.endsWith("+") ? link.startsWith(name.slice(0, -1)) : link === name,
  );
  return bySource && (outputInterfaces.length === 0 || isThere);
}

/** Whether the destination keeps the pod's address: the longest prefix decides where there are exceptions. */
function isListed(settings: PacketSettings, destination: string): boolean {
  const { nonMasqueradeCIDRs = [], masqueradeCIDRs = [] } = settings;
  const linkLocal =
    familyOf(destination) === "IPv4"
      ? { cidr: "169.254.0.0/16", isOff: settings.masqLinkLocal }
      : { cidr: "fe80::/10", isOff: settings.masqLinkLocalIPv6 };
  const all = linkLocal.isOff === true ? nonMasqueradeCIDRs : [...nonMasqueradeCIDRs, linkLocal.cidr];
  const kept = longest(all, destination);
  if (masqueradeCIDRs.length === 0) return kept >= 0;
  const exception = longest(masqueradeCIDRs, destination);
  const isExplicit = masqueradeCIDRs.includes(linkLocal.cidr) && !nonMasqueradeCIDRs.includes(linkLocal.cidr);
  return kept > exception || (kept >= 0 && kept === exception && !isExplicit);
}

/** The length of the longest of these that contain the address, or -1. */
function longest(cidrs: readonly string[], address: string): number {
  const containing = cidrs.filter((cidr) => contains(cidr, address));
  return Math.max(-1, ...containing.map((cidr) => Number(cidr.split("/")[1])));
}

function contains(cidr: string, address: string): boolean {
  if (familyOf(cidr) !== familyOf(address)) return false;
  const [network = "", bits = ""] = cidr.split("/");
  const type = isIPv6(address) ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(network, Number(bits), type);
  return list.check(address, type);
}

function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** The last bits of an address, more than slots need. */
function lowBits(address: string): number {
  const isIpv6 = address.includes(":");
  const last = address.split(isIpv6 ? ":" : ".").at(-1) ?? "";
  return Number.parseInt(last === "" ? "0" : last, isIpv6 ? 16 : 10);
}

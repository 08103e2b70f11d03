/** Configurations for the rows of packets.ts: each key alone and with others, random ones, and lists to change between. */
import type { Random } from "./network/equivalence-configs.ts";
import {
  expectedOfRow,
  LINKS,
  type Packet,
  type PacketSettings,
  PLACES,
  POD_NETWORKS,
  ROWS,
  type Row,
} from "./packets.ts";

/** The pods' network, without a part of it, of which a part is ours again. */
const SOURCES = {
  masqueradeSourceCIDRs: ["10.244.0.0/16", "10.244.1.78/32", "fd00:244::/48", "fd00:244::7a/128"],
  nonMasqueradeSourceCIDRs: ["10.244.1.64/26", "fd00:244::40/122"],
} as const satisfies PacketSettings;
const KEPT = ["10.0.0.0/8", "fd00:10::/32"];
const PODS = ["10.244.0.0/16", "fd00:244::/48"];
const FAR_KEPT = ["100.65.0.0/16", "2001:db8:65::/48"];
const EXCEPTIONS = ["10.10.1.0/24", "fd00:10:1::/48"];
const LINK = { outputInterfaces: ["eth0"] } as const satisfies PacketSettings;
const TWO_LINKS = { outputInterfaces: ["bond+", "eth0"] } as const satisfies PacketSettings;

/** The node's own addresses, from the lowest. */
const OWN = {
  IPv4: [LINKS.eth0.IPv4, PLACES.second.IPv4, LINKS.bond1.IPv4],
  IPv6: [LINKS.bond1.IPv6, LINKS.eth0.IPv6, PLACES.second.IPv6],
} as const;

function pool(size: number, outputAddressBy: "pod" | "flow"): PacketSettings {
  const addresses = [...OWN.IPv4.slice(0, size), ...OWN.IPv6.slice(0, size)];
  return { outputAddresses: addresses, outputAddressBy, pool: addresses };
}

/** Nine blocks of sources, which are too many for rules of their own. */
const MANY_SOURCES: PacketSettings = {
  masqueradeSourceCIDRs: [
    ...["10.244.1.2/32", "10.244.1.4/30", "10.244.1.9/32", "10.244.1.11/32", "10.244.1.13/32"],
    ...["10.244.1.64/28", "10.244.1.82/32", "10.244.2.0/24", "172.30.0.0/16"],
    ...["fd00:244::2/128", "fd00:244::4/126", "fd00:244::9/128", "fd00:244::b/128", "fd00:244::d/128"],
    ...["fd00:244::40/124", "fd00:244::7f/128", "fd00:244:2::/64", "fd99::/16"],
  ],
};

const NUMBERS = Array.from({ length: 9 }, (_, i) => 2 * i);

/** As many, of which only one is of the lab. */
const OTHER_SOURCES: PacketSettings = {
  masqueradeSourceCIDRs: [
    ...["10.244.1.2/32", "fd00:244::2/128"],
    ...NUMBERS.flatMap((i) => [`100.80.${i}.0/24`, `fd80:0:${i.toString(16)}::/48`]),
  ],
};

/** Each key alone and with others. */
export const SETTINGS: Readonly<Record<string, PacketSettings>> = {
  "no key": { nonMasqueradeCIDRs: KEPT },
  sources: { nonMasqueradeCIDRs: KEPT, ...SOURCES },
  "sources, and nothing else": { nonMasqueradeCIDRs: [], ...SOURCES },
  "sources that are not ours alone": {
    nonMasqueradeCIDRs: KEPT,
    nonMasqueradeSourceCIDRs: [...SOURCES.nonMasqueradeSourceCIDRs, "192.0.2.0/24", "2001:db8:ffff::/64"],
  },
  "sources of one family": { nonMasqueradeCIDRs: KEPT, masqueradeSourceCIDRs: ["10.244.0.0/16"] },
  "nine sources": { nonMasqueradeCIDRs: KEPT, ...MANY_SOURCES },
  "a link": { nonMasqueradeCIDRs: KEPT, ...LINK },
  "links, one by its beginning": { nonMasqueradeCIDRs: KEPT, ...TWO_LINKS },
  "sources and links": { nonMasqueradeCIDRs: KEPT, ...SOURCES, outputInterfaces: ["bond+"] },
  "exceptions of destinations": {
    nonMasqueradeCIDRs: KEPT,
    masqueradeCIDRs: EXCEPTIONS,
    ...SOURCES,
    ...LINK,
  },
  "exceptions, and nine sources": { nonMasqueradeCIDRs: KEPT, masqueradeCIDRs: EXCEPTIONS, ...MANY_SOURCES },
  ports: {
    ...{ nonMasqueradeCIDRs: KEPT, ...SOURCES, ...TWO_LINKS },
    toPorts: [
      [20_000, 20_999],
      [40_000, 40_999],
    ],
  },
  "one address": { nonMasqueradeCIDRs: KEPT, ...SOURCES, ...pool(1, "pod") },
  "two addresses by pod": { nonMasqueradeCIDRs: KEPT, ...SOURCES, ...pool(2, "pod") },
  "three addresses by pod": { nonMasqueradeCIDRs: KEPT, ...SOURCES, ...TWO_LINKS, ...pool(3, "pod") },
  "two addresses by flow": { nonMasqueradeCIDRs: KEPT, ...pool(2, "flow") },
  "three addresses by flow, and ports": {
    ...{ nonMasqueradeCIDRs: KEPT, masqueradeCIDRs: EXCEPTIONS, ...SOURCES, ...LINK, ...pool(3, "flow") },
    toPorts: [[30_000, 30_999]],
  },
  "addresses for everything": { nonMasqueradeCIDRs: [], ...pool(2, "pod") },
};

/** Configurations to change between while flows are made: one place each, and several at once. */
export const CHANGES: Readonly<Record<string, readonly PacketSettings[]>> = {
  sources: [
    { nonMasqueradeCIDRs: KEPT, ...SOURCES },
    { nonMasqueradeCIDRs: KEPT, ...MANY_SOURCES },
    { nonMasqueradeCIDRs: KEPT, masqueradeSourceCIDRs: PODS },
    { nonMasqueradeCIDRs: KEPT },
  ],
  links: [
    { nonMasqueradeCIDRs: KEPT, ...LINK },
    { nonMasqueradeCIDRs: KEPT, ...TWO_LINKS },
    { nonMasqueradeCIDRs: KEPT, outputInterfaces: ["e+", "wg0"] },
    { nonMasqueradeCIDRs: KEPT },
  ],
  destinations: [
    { nonMasqueradeCIDRs: KEPT, ...SOURCES, ...TWO_LINKS },
    { nonMasqueradeCIDRs: [...KEPT, ...FAR_KEPT], masqueradeCIDRs: EXCEPTIONS, ...SOURCES, ...TWO_LINKS },
  ],
  // Here one flow is kept by its source first and by its destination then, or by its link and its destination: where one changes
  // before the other, it is masqueraded in between.
  "sources and destinations": [
    { nonMasqueradeCIDRs: FAR_KEPT, ...SOURCES },
    { nonMasqueradeCIDRs: KEPT, masqueradeSourceCIDRs: PODS },
  ],
  "links and destinations": [
    { nonMasqueradeCIDRs: [], ...LINK },
    { nonMasqueradeCIDRs: [...KEPT, ...FAR_KEPT] },
  ],
  // Where sources are a set as well as destinations, both change in place.
  "many sources and destinations": [
    { nonMasqueradeCIDRs: [...KEPT, "8.8.8.0/24", "2001:4860::/32"], ...MANY_SOURCES },
    { nonMasqueradeCIDRs: [...KEPT, "8.9.0.0/16", "2001:4861::/32"], ...OTHER_SOURCES },
  ],
  "sources, links and destinations": [
    { nonMasqueradeCIDRs: [], ...SOURCES, ...LINK },
    { nonMasqueradeCIDRs: [...KEPT, ...FAR_KEPT], masqueradeSourceCIDRs: PODS },
    { nonMasqueradeCIDRs: [...KEPT, ...FAR_KEPT], ...MANY_SOURCES, ...TWO_LINKS },
  ],
};

/** Lists with addresses, which an agent takes from its node. */
export const ADDRESS_CHANGES: Readonly<Record<string, readonly PacketSettings[]>> = {
  addresses: [
    { nonMasqueradeCIDRs: KEPT, ...pool(1, "pod") },
    { nonMasqueradeCIDRs: KEPT, ...pool(2, "pod") },
    { nonMasqueradeCIDRs: KEPT, ...pool(3, "flow") },
    { nonMasqueradeCIDRs: KEPT },
  ],
  "addresses and sources": [
    { nonMasqueradeCIDRs: FAR_KEPT, ...SOURCES, ...pool(3, "pod") },
    { nonMasqueradeCIDRs: KEPT, ...MANY_SOURCES, ...LINK, ...pool(2, "flow") },
  ],
};

/** A flow for a stream, and the addresses that it may be seen with. */
export interface CertainFlow {
  readonly row: Row;
  readonly addresses: readonly string[];
}

/** The rows that all of these configurations treat alike: masqueraded, with whichever address, or not. */
export function certainFlows(all: readonly PacketSettings[], rows: readonly Row[]): CertainFlow[] {
  return rows.flatMap((row) => {
    if (row.tunnel !== undefined || row.always !== undefined || row.sourcePort !== undefined) return [];
    const expected = all.map((settings) => expectedOfRow(settings, row));
    if (new Set(expected.map(({ isKept }) => isKept)).size > 1) return [];
    return [{ row, addresses: [...new Set(expected.flatMap(({ addresses }) => addresses))] }];
  });
}

const CANDIDATES = {
  sources: [
    ...["0.0.0.0/0", "10.0.0.0/8", "10.244.0.0/16", "10.244.1.0/24", "10.244.1.64/26", "10.244.1.78/32"],
    ...["172.30.0.0/16", "192.0.2.0/24", "192.0.2.200/32", "203.0.113.0/24", "10.245.0.0/16"],
    ...["::/0", "fd00:244::/48", "fd00:244::/64", "fd00:244::40/122", "fd00:244::7a/128", "fd99::/16"],
    ...["2001:db8:ffff::/64", "2001:db8:ffff::200/128", "2001:db8:1::/48", "fd00:245::/64"],
  ],
  destinations: [
    ...["10.0.0.0/8", "10.10.0.0/16", "10.10.1.0/24", "8.8.8.0/24", "8.0.0.0/5", "100.64.0.0/10"],
    ...["10.244.0.0/16", "10.244.3.0/24", "10.245.0.0/16", "fd00::/8", "fd00:10::/32", "fd00:10:1::/48"],
    ...["2001:4860::/32", "2001:db8:65::/48", "fd00:244::/48"],
  ],
  links: ["eth0", "bond1", "bond+", "e+", "pod+", "pod1", "vx+", "wg0"],
} as const;

/** A random configuration, as often without a key as with it. */
export function randomSettings(random: Random): PacketSettings {
  const some = <T>(all: readonly T[], most: number): T[] =>
    random() < 0.4
      ? []
      : all
          .map((one) => ({ one, at: random() }))
          .sort((a, b) => a.at - b.at)
          .slice(0, 1 + Math.floor(random() * most))
          .map(({ one }) => one);
  // No prefix may be in both lists of a pair.
  const split = (all: readonly string[]) => {
    const chosen = some(all, 8);
    const isFirst = chosen.map(() => random() < 0.5);
    return [chosen.filter((_, i) => isFirst[i]), chosen.filter((_, i) => !isFirst[i])] as const;
  };
  const [masqueradeSourceCIDRs, nonMasqueradeSourceCIDRs] = split(CANDIDATES.sources);
  const [nonMasqueradeCIDRs, masqueradeCIDRs] = split(CANDIDATES.destinations);
  const size = Math.floor(random() * 4);
  return {
    ...{ nonMasqueradeCIDRs, masqueradeCIDRs, masqueradeSourceCIDRs, nonMasqueradeSourceCIDRs },
    outputInterfaces: some(CANDIDATES.links, 2),
    ...(size === 0 ? {} : pool(size, random() < 0.5 ? "pod" : "flow")),
    ...(random() < 0.3 ? { toPorts: [[20_000, 29_999]] as const } : {}),
  };
}

/** Rows of pods with other addresses: any of their networks, often the first and the last. */
export function randomRows(random: Random, count: number): readonly Row[] {
  const [pods] = [ROWS.filter(({ from, tunnel }) => from === "pod" && tunnel === undefined)];
  return Array.from({ length: count }, () => {
    const row = pods[Math.floor(random() * pods.length)] as Row;
    const [network = ""] = [POD_NETWORKS[row.family][Math.floor(random() * 2)]];
    const [address = "", bits = ""] = network.split("/");
    const source = within(address, Number(bits), random);
    const packet: Packet = { ...row.packet, source };
    return { ...row, name: `${row.name}, as ${source}`, source, packet };
  });
}

/** An address of a block, often its first or last ones. */
function within(address: string, bits: number, random: Random): string {
  const isIpv6 = address.includes(":");
  const size = isIpv6 ? 16 : 8;
  const all = groupsOf(address).map((group, i) => {
    const free = size - Math.max(0, Math.min(size, bits - i * size));
    const host = random() < 0.3 ? 0 : random() < 0.3 ? 2 ** free - 1 : Math.floor(random() * 2 ** free);
    return group | host;
  });
  const text = all.map((group) => group.toString(isIpv6 ? 16 : 10)).join(isIpv6 ? ":" : ".");
  return isIpv6 ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text;
}

function groupsOf(address: string): number[] {
  if (!address.includes(":")) return address.split(".").map(Number);
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) =>
    text
      .split(":")
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16));
  const [first, last] = [groups(head), groups(tail)];
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}

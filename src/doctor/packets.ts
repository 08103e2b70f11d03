/**
 * Representatives of all packets that pods may send: of each part of the address space that the rules and the configuration cut out
 * one destination, and of all else that the rules ask (source, protocol, port, links) one value of each kind.
 */
import type { Cidr, Family } from "../core/cidr.ts";
import {
  everything,
  type Interval,
  includes,
  longestPrefixIntervals,
  meetIntervals,
  subtractIntervals,
} from "../core/intervals.ts";
import type { Scope } from "../core/ruleset.ts";
import { sourceIntervals } from "../core/sources.ts";
import { known } from "../system/fact.ts";
import { allConditions, cutPoints, namedIntervals, reachableRules } from "../trace/chain-index.ts";
import type { Condition, Hook, Packet } from "../trace/model.ts";
import { hasPorts } from "../trace/protocols.ts";
import type { Facts } from "./facts.ts";
import { isOthersLink, type PodFacts } from "./pod-networks.ts";

/** A part of the question that rules ask of a packet: one value of each kind. */
type Choice = readonly Asked[];

/** A packet, besides its destination. A source is one of an interval, so that it can differ from the destination. */
type Asked = Partial<Omit<Packet, "family" | "destination">> & { readonly from?: Interval };

/** Addresses that are in the same lists of all rules, and in the same of the configuration. */
export interface Destinations {
  /** One of them. */
  readonly first: bigint;
  readonly intervals: readonly Interval[];
}

export interface PacketSpace {
  readonly family: Family;
  readonly destinations: readonly Destinations[];
  /** All that is the same of all packets. */
  readonly common: Asked;
  readonly choices: readonly Choice[];
}

/** Pods, as far as they are known. */
export function podsOf({ links, podNetworks }: Facts): PodFacts | undefined {
  const seen = known(links);
  const more = podNetworks.flatMap((fact) => known(fact) ?? []);
  if (seen === undefined && more.length === 0) return undefined;
  const pods = seen ?? { networks: [], others: [], own: [], uplinks: [], links: new Map() };
  return { ...pods, networks: [...pods.networks, ...more] };
}

/** This node's own pods where those are known, for only their packets come by; else all that are known. */
export function podIntervals(facts: Facts, family: Family): readonly Interval[] {
  const known = (podsOf(facts)?.networks ?? []).filter(({ cidr }) => cidr.family === family);
  const local = known.filter(({ isLocal }) => isLocal);
  return unite((local.length > 0 ? local : known).map(({ cidr }) => cidr));
}

/** Whose packets the configuration is about; undefined: all. */
export function scopeOf({ config }: Facts, family: Family): Scope | undefined {
  return known(config)?.rulesets?.find((one) => one.family === family)?.scope;
}

/** Where pods are not known, anything but the node and what is not pods may be one. */
function sourcesOf(facts: Facts, family: Family): readonly Interval[] {
  const pods = podIntervals(facts, family);
  if (pods.length > 0) return pods;
  const others = (podsOf(facts)?.others ?? []).filter((one) => one.family === family);
  const local = known(facts.trace)?.local[family] ?? [];
  return subtractIntervals(subtractIntervals([everything(family)], unite(others)), local);
}

function unite(cidrs: readonly Cidr[]): readonly Interval[] {
  return longestPrefixIntervals(cidrs.map((cidr) => ({ cidr, included: true })));
}

/** Nobody forwards these as a pod's packets to other networks. */
const MULTICAST: Readonly<Record<Family, Interval>> = {
  IPv4: { first: 224n << 24n, last: (1n << 32n) - 1n },
  IPv6: { first: 255n << 120n, last: (1n << 128n) - 1n },
};

/** Public addresses, of which a list that keeps them would be odd. */
export const OUTSIDE: Readonly<Record<Family, bigint>> = {
  IPv4: 0x0808_0808n,
  IPv6: (0x2001_4860_4860n << 80n) + 0x8888n,
};

/** More links that rules tell apart are not told apart. */
const MANY_LINKS = 16;

/** The packets to which these base chains may answer differently; `kept` are the destinations that the configuration keeps. */
export function packetSpace(
  facts: Facts,
  family: Family,
  hooks: readonly Hook[],
  kept: readonly Interval[],
): PacketSpace {
  const rules = hooks.flatMap(reachableRules);
  const local = known(facts.trace)?.local[family] ?? [];
  const all = everything(family);
  const without = [MULTICAST[family]];
  const lists = [kept, local, without, ...namedIntervals(rules, family, "destination")];
  const destinations = partition(lists, all).filter(
    ({ first }) => !includes(local, first) && !includes(without, first),
  );
  const scope = scopeOf(facts, family);
  const senders = sourcesOf(facts, family);
  // The packets of others are none of the configuration's.
  const sources = meetIntervals(senders, sourceIntervals(family, scope) ?? [all]);
  const conditions = [...allConditions(rules)];
  const choices = [
    sourceChoice(sources, [...namedIntervals(rules, family, "source")], conditions),
    portChoice(conditions),
    linkChoice(conditions, known(facts.links)?.links),
    outChoice([
      ...patternsOf(conditions, "out"),
      ...(scope?.interfaces ?? []).map((name) => name.replace(/\+$/, "*")),
    ]),
  ];
  const single = choices.filter(({ length }) => length === 1).flat();
  return {
    family,
    destinations: sources.length === 0 ? [] : destinations,
    common: Object.assign({ sources, mark: 0 }, ...single) as Asked,
    choices: choices.filter(({ length }) => length > 1),
  };
}

/**
 * Addresses by the lists that they are in. While all bounds are passed in order, a number says which lists are open: that of each
 * list is drawn from so many that no two sums are the same by chance.
 */
function partition(lists: readonly (readonly Interval[])[], all: Interval): readonly Destinations[] {
  const changes = new Map<bigint, bigint>([[all.first, 0n]]);
  const change = (at: bigint, key: bigint) => changes.set(at, (changes.get(at) ?? 0n) ^ key);
  for (const [i, list] of lists.entries()) {
    const key = BigInt.asUintN(64, BigInt(i + 1) * 0x9e37_79b9_7f4a_7c15n) ** 2n;
    for (const { first, last } of list) {
      change(first, key);
      if (last < all.last) change(last + 1n, key);
    }
  }
  const bounds = [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = new Map<bigint, { first: bigint; intervals: Interval[] }>();
  let open = 0n;
  for (const [i, [first, key]] of bounds.entries()) {
    open ^= key;
    const interval = { first, last: (bounds[i + 1]?.[0] ?? all.last + 1n) - 1n };
    const part = parts.get(open);
    if (part === undefined) parts.set(open, { first, intervals: [interval] });
    else part.intervals.push(interval);
  }
  return [...parts.values()];
}

/** One of each kind, or one for all if rules do not tell them apart. */
function sourceChoice(
  sources: readonly Interval[],
  lists: readonly (readonly Interval[])[],
  conditions: readonly Condition[],
): Choice {
  // Single bits of an address do not cut intervals: then the source stays open.
  if (conditions.some(({ kind }) => kind === "bits")) return [];
  const named = lists.map((one) => meetIntervals(one, sources));
  const parts = sources.flatMap((interval) => {
    const starts = cutPoints(named, interval);
    return starts.map((first, i) => ({ first, last: (starts[i + 1] ?? interval.last + 1n) - 1n }));
  });
  return parts.length < 2 ? [] : parts.map((from) => ({ from }));
}

function portChoice(conditions: readonly Condition[]): Choice {
  const named = conditions.flatMap((one) => (one.kind === "protocol" ? one.protocols : []));
  const ranges = conditions.flatMap((one) => (one.kind === "port" ? one.ranges : []));
  if (named.length === 0 && ranges.length === 0) return [];
  const cuts = new Set([0, ...ranges.flatMap(({ first, last }) => [first, last + 1])]);
  const ports = [...cuts].filter((port) => port <= 65535);
  const other = ["icmp", "gre", "255"].filter((one) => !named.includes(one)).slice(0, 1);
  const protocols = new Set([...named, ...(ranges.length > 0 ? ["tcp", "udp"] : []), ...other]);
  return [...protocols].flatMap(
    (protocol): Choice =>
      hasPorts(protocol) && ranges.length > 0 ? ports.map((port) => ({ protocol, port })) : [{ protocol }],
  );
}

/** Links of pods that are there, and those that may be a pod's later: a name that is not there, unless it is known for others. */
function linkChoice(conditions: readonly Condition[], links: PodFacts["links"] = new Map()): Choice {
  const patterns = patternsOf(conditions, "in");
  if (patterns.length === 0) return [];
  const pods = [...links].flatMap(([name, isPods]) => (isPods ? name : []));
  const later = patterns.filter(
    (pattern) => !isOthers(pattern) && ![...links.keys()].some((name) => isNamed(pattern, name)),
  );
  const names = [...pods, ...later.map((pattern) => pattern.replace(/\*$/, "0"))];
  const kinds = new Map(
    (names.length === 0 ? ["(a pod's)"] : names).map((name) => [kindOf(patterns, name), name]),
  );
  return kinds.size > MANY_LINKS ? [] : [...kinds.values()].map((name) => ({ in: name }));
}

function outChoice(patterns: readonly string[]): Choice {
  if (patterns.length === 0) return [];
  const names = [...patterns.map((pattern) => pattern.replace(/\*$/, "0")), "(another)"];
  const kinds = new Map(names.map((name) => [kindOf(patterns, name), name]));
  return kinds.size > MANY_LINKS ? [] : [...kinds.values()].map((name) => ({ out: name }));
}

function patternsOf(conditions: readonly Condition[], kind: "in" | "out"): readonly string[] {
  return [...new Set(conditions.flatMap((one) => (one.kind === kind ? one.names : [])))];
}

function kindOf(patterns: readonly string[], name: string): string {
  return patterns.map((pattern) => isNamed(pattern, name)).join();
}

function isNamed(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Links of the node towards the world, as systemd, the kernel and common tunnels name them. */
const UPLINKS_AND_TUNNELS =
  /^(lo$|eth\d|en[opsx]\d|wl|ww|bond|team|wg\d|tun\d|ppp\d|tailscale|zt|ipsec|vti|tunl\d|sit\d|ip6tnl\d)/;

/** Whether a name, or all that begin like this, are known for links that are not pods'. */
function isOthers(pattern: string): boolean {
  const name = pattern.replace(/\*$/, "");
  return isOthersLink(pattern) || ["docker", "br-", "virbr"].includes(name) || UPLINKS_AND_TUNNELS.test(name);
}

/** A packet of which only the destination is known, and what all have in common. */
export function openPacket({ family, common }: PacketSpace, destination: bigint): Packet {
  return { family, destination, ...common };
}

/** How many packets go to each destination, if all is told apart. */
export function countPackets({ choices }: PacketSpace): number {
  return choices.reduce((count, { length }) => count * length, 1);
}

/** All packets to a destination; a pod that reaches itself is not one of them: without NAT there it gets no answer. */
export function* packetsTo(space: PacketSpace, destination: bigint): Generator<Packet> {
  for (const asked of combine(space.choices)) {
    const { from, ...rest } = asked;
    const packet = { ...openPacket(space, destination), ...rest };
    if (from === undefined) yield packet;
    else {
      const source = from.first === destination ? from.first + 1n : from.first;
      if (source <= from.last) yield { ...packet, source };
    }
  }
}

function* combine([choice, ...more]: readonly Choice[]): Generator<Asked> {
  if (choice === undefined) {
    yield {};
    return;
  }
  for (const one of choice) for (const rest of combine(more)) yield { ...one, ...rest };
}

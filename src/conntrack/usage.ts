/**
 * Counts the connections that hold source ports of the node, by address and remote. A port of a node's address towards a remote is
 * in use by an entry whose reply goes from that remote to that address: the reply's direction is the one after a Service's
 * translation, so that all ways to one endpoint count together. The node's own sockets hold ports as well.
 */
import { countPorts, KERNEL_PORTS, type PortRange } from "../core/ports.ts";
import { PROTOCOLS } from "../netlink/constants.ts";
import { familyOf, type PackedAddress, packAddress } from "./address.ts";
import { TCP_STATES } from "./constants.ts";
import { type Flow, type Protocol, protocolName } from "./flow.ts";

/** Facts about the node. */
export interface PortOwner {
  readonly isOwn: (address: PackedAddress) => boolean;
  /** Whether the port is in the range whose usage we count. */
  readonly isCounted: (port: number) => boolean;
  /** The size of that range, for each address of the node. */
  readonly ports: number;
}

/** One address of the node towards one remote. */
export interface PortUse {
  readonly protocol: Protocol;
  /** Behind a Service, the endpoint. */
  readonly remote: PackedAddress;
  readonly port: number;
  readonly nodeAddress: PackedAddress;
  /** Connections, each with a port of its own. */
  readonly inUse: number;
  /** Those of them that are TCP in TIME_WAIT or CLOSE, whose ports newer kernels take over when none is free. */
  readonly ended: number;
  /** The largest first; the node's own sockets are one source. */
  readonly by: readonly Source[];
  /** Whether its count is complete. */
  readonly isExact: boolean;
}

export interface Source {
  /** Undefined: the node's own sockets. */
  readonly address: PackedAddress | undefined;
  readonly inUse: number;
}

export interface Tally {
  readonly add: (flow: Flow) => void;
  /** The fullest first, up to the requested number. */
  readonly fullest: (most: number) => readonly PortUse[];
}

/** `toPorts` are the source ports that may be used, none meaning that the kernel chooses. */
export function portOwner(addresses: readonly string[], toPorts: readonly PortRange[]): PortOwner {
  const ranges = toPorts.length === 0 ? [KERNEL_PORTS] : toPorts;
  const own = new Set([...addresses, "::1"].map(packAddress));
  const isLoopback = (address: PackedAddress) =>
    familyOf(address) === "IPv4" && address.charCodeAt(0) >> 8 === 127;
  return {
    isOwn: (address) => own.has(address) || isLoopback(address),
    isCounted: (port) => ranges.some(({ first, last }) => first <= port && port <= last),
    ports: countPorts(ranges),
  };
}

const ENDED: readonly number[] = [TCP_STATES.indexOf("TIME_WAIT"), TCP_STATES.indexOf("CLOSE")];

/** Whether it is TCP that has ended, and only holds its port for a while. */
export function isEnded({ original, state }: Flow): boolean {
  return original.protocol === PROTOCOLS.tcp && ENDED.includes(state);
}

/** Whether an entry holds a port of the node: also one of an address that the node no longer has. */
function holdsPort({ original, reply }: Flow, { isOwn, isCounted }: PortOwner): boolean {
  if (protocolName(reply.protocol) === undefined || !isCounted(reply.destinationPort)) return false;
  const isTranslated = original.source !== reply.destination;
  return (isTranslated || isOwn(reply.destination)) && !isOwn(reply.source);
}

interface Count {
  readonly protocol: number;
  readonly remote: PackedAddress;
  readonly port: number;
  readonly nodeAddress: PackedAddress;
  readonly sources: Map<PackedAddress, number>;
  inUse: number;
  ended: number;
  /** The maximum of connections missing from the count. */
  readonly missed: number;
}

/** The maximum of keys, and of separate sources, counted at once: a scan of a network makes one for each packet. */
const MOST = { keys: 50_000, sources: 200_000 };

const OWN = "";

/**
 * Counts within a bound of memory, by lossy counting (Manku and Motwani, VLDB 2002): when there are too many keys, it drops
 * the smallest. A table's entries come in the order of a hash, so that large keys appear from the beginning.
 */
export function createTally(owner: PortOwner, { keys, sources }: typeof MOST = MOST): Tally {
  const counts = new Map<string, Count>();
  let [floor, sourceCount] = [0, 0];
  const forget = () => {
    while (counts.size >= keys) {
      floor++;
      for (const [key, { inUse, missed, sources }] of counts) {
        if (inUse + missed > floor) continue;
        counts.delete(key);
        sourceCount -= sources.size;
      }
    }
  };
  const countOf = ({ reply }: Flow): Count => {
    const { protocol, source: remote, sourcePort: port, destination: nodeAddress } = reply;
    const key = String.fromCharCode(protocol, port) + nodeAddress + remote;
    const known = counts.get(key);
    if (known !== undefined) return known;
    if (counts.size >= keys) forget();
    const what = { protocol, remote, port, nodeAddress };
    const count = { ...what, sources: new Map(), inUse: 0, ended: 0, missed: floor };
    counts.set(key, count);
    return count;
  };
  return {
    add(flow) {
      if (!holdsPort(flow, owner)) return;
      const count = countOf(flow);
      count.inUse++;
      if (isEnded(flow)) count.ended++;
      const { source } = flow.original;
      const name = owner.isOwn(source) ? OWN : source;
      const before = count.sources.get(name);
      if (before === undefined && sourceCount >= sources) return;
      if (before === undefined) sourceCount++;
      count.sources.set(name, (before ?? 0) + 1);
    },
    fullest: (most) =>
      [...counts.values()]
        .sort((a, b) => b.inUse - a.inUse)
        .slice(0, most)
        .map(describe),
  };
}

function describe({ protocol, sources, missed, ...count }: Count): PortUse {
  const by = [...sources]
    .sort(([, a], [, b]) => b - a)
    .map(([address, inUse]) => ({ address: address === OWN ? undefined : address, inUse }));
  return { ...count, protocol: protocolName(protocol) ?? "tcp", by, isExact: missed === 0 };
}

/** How much of the node address' ports is in use, from 0 to 1. */
export function shareOf(connections: number, { ports }: Pick<PortOwner, "ports">): number {
  return ports === 0 ? 1 : Math.min(1, connections / ports);
}

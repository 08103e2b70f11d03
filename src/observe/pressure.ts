/** The effects of SNAT on this node's connections, read on demand, within bounds. */

import { readFileSync } from "node:fs";
import { printAddress } from "../conntrack/address.ts";
import { type Conntrack, type Counters, openConntrack } from "../conntrack/conntrack.ts";
import {
  largestHolders,
  measureShares,
  type PortHolder,
  type PortShares,
  type Table,
} from "../conntrack/port-shares.ts";
import { parseListLine } from "../conntrack/proc-list.ts";
import { type PortUse, portOwner } from "../conntrack/usage.ts";
import type { PortRange } from "../core/ports.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import { ownAddressTexts } from "../system/addresses.ts";
import { sampleList } from "../system/connections.ts";
import { parseConntrackCounters } from "../system/conntrack-stats.ts";
import type { Readings } from "./metrics.ts";

/** The destination towards which most source ports of one of the node's addresses are in use. */
export interface Busiest {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  readonly nodeAddress: string;
  /** Connections, exact or extrapolated to the whole table. */
  readonly connections: number;
}

export type Pressure = Pick<
  Readings,
  "conntrack" | "conntrackCounters" | "snatPortShare" | "snatPortShareOpen" | "snatPortsUsed"
> & { readonly busiest?: Busiest };

/** From the kernel's text list, some 1,500 entries: 2 ms to make and 2 to read. */
const SAMPLE_BYTES = 256 * 1024;
/**
 * The shortest interval: a hundredth of a percent of a processor, and a sixth of one where a key is more than half
 * full.
 */
const MEASURE_EVERY_MS = 30_000;
/** The number of series for single sources. */
const HOLDERS_AT_MOST = 5;

/** Reads the pressure; `toPorts` are the source ports that may be used, none meaning that the kernel chooses. */
export function createPressureReader(
  toPorts: () => readonly PortRange[],
  now: () => number,
): () => Promise<Pressure> {
  let measuredAt = Number.NEGATIVE_INFINITY;
  let shares: Promise<PortShares | undefined> | undefined;
  return async () => {
    const conntrack = readTable();
    const counters = conntrack === undefined ? undefined : await readCounters();
    if (conntrack !== undefined && now() - measuredAt >= MEASURE_EVERY_MS) {
      measuredAt = now();
      shares = measure(conntrack.entries, toPorts(), now);
    }
    return {
      ...(conntrack && { conntrack }),
      ...(counters && { conntrackCounters: counters }),
      ...describe(await shares),
    };
  };
}

function describe(shares: PortShares | undefined): Partial<Pressure> {
  if (shares === undefined) return {};
  return {
    snatPortShare: shares.share,
    snatPortShareOpen: shares.openShare,
    snatPortsUsed: largestHolders(shares, HOLDERS_AT_MOST).map(describeHolder),
    ...(shares.fullest && { busiest: describeBusiest(shares.fullest) }),
  };
}

function describeBusiest({ protocol, remote, port, nodeAddress, inUse }: PortUse): Busiest {
  const [address, node] = [printAddress(remote), printAddress(nodeAddress)];
  return { protocol, address, port, nodeAddress: node, connections: inUse };
}

function describeHolder({ use, source }: PortHolder): NonNullable<Pressure["snatPortsUsed"]>[number] {
  const labels = {
    pod_ip: source.address === undefined ? "" : printAddress(source.address),
    remote: printAddress(use.remote),
    port: String(use.port),
    protocol: use.protocol,
    node_address: printAddress(use.nodeAddress),
  };
  return { labels, ports: source.inUse };
}

/** Undefined where there can be no sample: we may read neither ctnetlink nor the list. */
async function measure(
  entries: number,
  toPorts: readonly PortRange[],
  now: () => number,
): Promise<PortShares | undefined> {
  const owner = portOwner(ownAddressTexts(), toPorts);
  return (
    (await withConntrack((conntrack) => measureShares({ ...conntrack, entries }, owner, now))) ??
    (await measureShares(procTable(entries), owner, now).catch(() => undefined))
  );
}

/** Undefined if ctnetlink does not answer: no addon, no permission, or no such module. */
async function withConntrack<T>(use: (conntrack: Conntrack) => Promise<T>): Promise<T | undefined> {
  try {
    return await use(openConntrack());
  } catch (error) {
    if (error instanceof NftablesError || error instanceof NetlinkUnavailable) return undefined;
    throw error;
  }
}

/** The start of the kernel's text list, where there is one. It has no filter. */
function procTable(entries: number): Table {
  return {
    entries,
    list: async ({ reply }, visit) => {
      if (reply !== undefined) return { read: 0, isWhole: false, isFiltered: false };
      const { lines, isWhole } = sampleList(SAMPLE_BYTES);
      for (const line of lines) {
        const flow = parseListLine(line);
        if (flow !== undefined) visit(flow);
      }
      return { read: lines.length, isWhole, isFiltered: true };
    },
  };
}

async function readCounters(): Promise<Counters | undefined> {
  const asked = await withConntrack((conntrack) => conntrack.counters());
  const text = asked === undefined ? readText("/proc/net/stat/nf_conntrack") : undefined;
  if (text === undefined) return asked;
  const counters = new Map(Object.entries(parseConntrackCounters(text)));
  const of = (name: string) => counters.get(name) ?? 0;
  return {
    insertFailed: of("insert_failed"),
    drop: of("drop"),
    earlyDrop: of("early_drop"),
    invalid: of("invalid"),
  };
}

function readTable(): Pressure["conntrack"] {
  const [entries, limit] = ["count", "max"].map((name) =>
    readText(`/proc/sys/net/netfilter/nf_conntrack_${name}`),
  );
  if (entries === undefined || limit === undefined) return undefined;
  return { entries: Number(entries), limit: Number(limit) };
}

/** Undefined if the kernel does not show it: conntrack may not be loaded yet. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

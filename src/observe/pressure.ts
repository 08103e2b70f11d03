/** What SNAT does to this node's connections, read when somebody asks, within bounds. */

import { readFileSync } from "node:fs";
import { printAddress } from "../conntrack/address.ts";
import { type Conntrack, type Counters, openConntrack } from "../conntrack/conntrack.ts";
import { parseListLine } from "../conntrack/proc-list.ts";
import { type PortUse, portOwner } from "../conntrack/usage.ts";
import type { PortRange } from "../core/ports.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import { ownAddressTexts } from "../system/addresses.ts";
import { sampleList } from "../system/connections.ts";
import { parseConntrackCounters } from "../system/conntrack-stats.ts";
import type { Readings } from "./metrics.ts";
import {
  largestHolders,
  measureShares,
  type PortHolder,
  type PortShares,
  type Table,
} from "./port-shares.ts";

/** The destination towards which most source ports of one of the node's addresses are in use. */
export interface Busiest {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  readonly nodeAddress: string;
  /** Connections, as many as the whole table has or may have. */
  readonly connections: number;
}

export type Pressure = Pick<
  Readings,
  "conntrack" | "conntrackCounters" | "snatPortShare" | "snatPortShareOpen" | "snatPortsUsed"
> & { readonly busiest?: Busiest };

/** Of the kernel's text list, some 1,500 entries: 2 ms to make and 2 to read. */
const SAMPLE_BYTES = 256 * 1024;
/** So often at most: a hundredth of a percent of a processor, and a sixth of one where something is more than half full. */
const MEASURE_EVERY_MS = 30_000;
/** As many series of single sources. */
const HOLDERS_AT_MOST = 5;

/** What reads the pressure; `toPorts` are the source ports that may be used, none meaning that the kernel chooses. */
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

/** Undefined where there can be no sample: neither ctnetlink nor the list may be read. */
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

/** Undefined if ctnetlink does not answer: no addon, no right, no such module. */
async function withConntrack<T>(use: (conntrack: Conntrack) => Promise<T>): Promise<T | undefined> {
  try {
    return await use(openConntrack());
  } catch (error) {
    if (error instanceof NftablesError || error instanceof NetlinkUnavailable) return undefined;
    throw error;
  }
}

/** The start of the kernel's text list, where there is one. It cannot be asked for a part. */
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

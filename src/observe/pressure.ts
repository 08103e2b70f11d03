/** What SNAT does to this node's connections, read when somebody asks, within bounds. */

import { readFileSync } from "node:fs";
import { parseAddress } from "../core/cidr.ts";
import { includes } from "../core/intervals.ts";
import { countPorts, type PortRange } from "../core/ports.ts";
import { ownAddresses } from "../system/addresses.ts";
import { sampleList } from "../system/connections.ts";
import {
  type Busiest,
  findBusiest,
  type PortOwner,
  parseConntrackCounters,
} from "../system/conntrack-stats.ts";
import type { Readings } from "./metrics.ts";

export type Pressure = Pick<Readings, "conntrack" | "conntrackCounters" | "snatPortShare"> & {
  readonly busiest?: Busiest;
};

/** Of the kernel's list, some 1,500 entries: 2 ms to make and 2 to read. */
const SAMPLE_BYTES = 256 * 1024;
/** So often at most: a hundredth of a percent of a processor. */
const SAMPLE_EVERY_MS = 30_000;

/** The ports that the kernel chooses from for a source port of 1024 and above (net/netfilter/nf_nat_core.c). */
const KERNEL_PORTS: readonly PortRange[] = [{ first: 1_024n, last: 65_535n }];

/** What reads the pressure; `toPorts` are the source ports that may be used, none meaning that the kernel chooses. */
export function createPressureReader(toPorts: readonly PortRange[], now: () => number): () => Pressure {
  const ranges = toPorts.length === 0 ? KERNEL_PORTS : toPorts;
  const ports = countPorts(ranges);
  const isCounted = (port: number) => ranges.some(({ first, last }) => first <= port && port <= last);
  let sampledAt = Number.NEGATIVE_INFINITY;
  let busiest: Busiest | "none" | undefined;
  return () => {
    const conntrack = readTable();
    const counters = readText("/proc/net/stat/nf_conntrack");
    if (conntrack !== undefined && now() - sampledAt >= SAMPLE_EVERY_MS) {
      sampledAt = now();
      busiest = sample(conntrack.entries, isCounted);
    }
    const used = busiest === "none" ? 0 : busiest?.connections;
    return {
      ...(conntrack && { conntrack }),
      ...(counters && { conntrackCounters: namedCounters(counters) }),
      ...(used !== undefined && { snatPortShare: Math.min(1, used / ports) }),
      ...(busiest !== undefined && busiest !== "none" && { busiest }),
    };
  };
}

function namedCounters(text: string): NonNullable<Pressure["conntrackCounters"]> {
  const counters = new Map(Object.entries(parseConntrackCounters(text)));
  const of = (name: string) => counters.get(name) ?? 0;
  return { insertFailed: of("insert_failed"), drop: of("drop"), earlyDrop: of("early_drop") };
}

function readTable(): Pressure["conntrack"] {
  const [entries, limit] = ["count", "max"].map((name) =>
    readText(`/proc/sys/net/netfilter/nf_conntrack_${name}`),
  );
  if (entries === undefined || limit === undefined) return undefined;
  return { entries: Number(entries), limit: Number(limit) };
}

/** Undefined where there can be no sample: a kernel without the list, or one that may not be read. */
function sample(entries: number, isCounted: PortOwner["isCounted"]): Busiest | "none" | undefined {
  try {
    const { lines, isWhole } = sampleList(SAMPLE_BYTES);
    const share = isWhole ? 1 : Math.min(1, lines.length / Math.max(entries, lines.length));
    const own = ownAddresses();
    const isOwnAddress = (text: string) => {
      const address = parseAddress(text);
      return address !== undefined && includes(own[address.family], address.value);
    };
    return findBusiest(lines, share, { isOwnAddress, isCounted }) ?? "none";
  } catch {
    return undefined;
  }
}

/** Undefined if the kernel does not show it: conntrack may not be loaded yet. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

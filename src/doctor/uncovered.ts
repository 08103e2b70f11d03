/** How many networks of pods the rules in force masquerade among themselves: for an agent that is asked for it again and again. */
import type { Family } from "../core/cidr.ts";
import { ADDRESS_BITS } from "../core/cidr.ts";
import { type Interval, subtractIntervals } from "../core/intervals.ts";
import { isKnown } from "../system/fact.ts";
import { intervalOf, type PodNetwork, widestNetworks } from "./pod-networks.ts";
import { readFlannel, readLinks } from "./read-pods.ts";

/** The destinations that keep the pods' address by rules in force; null: not known. */
export type Kept = Readonly<Partial<Record<Family, readonly Interval[] | null>>>;

export interface UncoveredCount {
  readonly family: Family;
  readonly networks: number;
}

/** Reading links and routes takes 3 ms with 250 pods; they hardly change. */
const READ_EVERY_MS = 300_000;

/** The count of each family of which a network and the rules are known. Reads when it is asked, at most every 5 minutes. */
export function createUncoveredReader(
  now: () => number,
  read: () => Promise<readonly PodNetwork[] | undefined> = readNetworks,
): (kept: Kept) => Promise<readonly UncoveredCount[]> {
  let readAt = Number.NEGATIVE_INFINITY;
  let networks: Promise<readonly PodNetwork[] | undefined> | undefined;
  const counts = new WeakMap<readonly PodNetwork[], WeakMap<readonly Interval[], number>>();
  return async (kept) => {
    if (now() - readAt >= READ_EVERY_MS) {
      readAt = now();
      networks = read();
    }
    const known = (await networks) ?? [];
    const seen = counts.get(known) ?? new WeakMap<readonly Interval[], number>();
    counts.set(known, seen);
    return (Object.keys(ADDRESS_BITS) as Family[]).flatMap((family) => {
      const own = known.filter(({ cidr }) => cidr.family === family);
      const list = kept[family] ?? undefined;
      if (own.length === 0 || list === undefined) return [];
      const count = seen.get(list) ?? countUncovered(own, list);
      seen.set(list, count);
      return [{ family, networks: count }];
    });
  };
}

/** Single pods, as the routes of some CNI plugins name them, count as one network. */
function countUncovered(networks: readonly PodNetwork[], kept: readonly Interval[]): number {
  const uncovered = widestNetworks(networks).filter(
    ({ cidr }) => subtractIntervals([intervalOf(cidr)], kept).length > 0,
  );
  const wide = uncovered.filter(({ cidr }) => cidr.bits < ADDRESS_BITS[cidr.family]);
  return wide.length + (uncovered.length > wide.length ? 1 : 0);
}

/** The networks that are known without other processes and files of the host; undefined if links cannot be read. */
async function readNetworks(): Promise<readonly PodNetwork[] | undefined> {
  const links = await readLinks();
  if (!isKnown(links)) return undefined;
  const flannel = readFlannel("/run/flannel/subnet.env");
  return [...links.value.networks, ...(isKnown(flannel) ? flannel.value : [])];
}

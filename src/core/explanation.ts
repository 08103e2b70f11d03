/**
 * Why a destination is masqueraded or not: the entry of a ruleset that decides, and the other entries that contain it.
 * A CIDR is split where the answer changes.
 *
 * The first entry that contains an address decides, in both orders that a ruleset can have: without exceptions the
 * file's order, with them the longest prefix first (see ruleset.ts).
 */
import { type Cidr, lastAddress } from "./cidr.ts";
import { type Interval, sweepPrefixes } from "./intervals.ts";
import type { Entry, Ruleset } from "./ruleset.ts";

/** Addresses that one entry decides. */
export interface Explanation {
  readonly interval: Interval;
  readonly verdict: Entry["verdict"];
  /** Undefined if no entry contains them, which means that they are masqueraded. */
  readonly by: Entry | undefined;
  /** Other entries that contain some or all of them, in the ruleset's order. */
  readonly lost: readonly Entry[];
}

/** Entries of one prefix, with their places in the ruleset: the first decides. */
interface Group {
  readonly cidr: Cidr;
  readonly entries: { readonly entry: Entry; readonly index: number }[];
}

/** The verdict of each address of an interval, in address order; neighbours have different `by`. */
export function explainInterval({ entries }: Pick<Ruleset, "entries">, interval: Interval): Explanation[] {
  const parts: { interval: Interval; by: Group | undefined; groups: Set<Group> }[] = [];
  const pass = (first: bigint, last: bigint, open: readonly Group[]) => {
    const by = open.reduce<Group | undefined>(
      (a, b) => (a !== undefined && indexOf(a) < indexOf(b) ? a : b),
      undefined,
    );
    const previous = parts.at(-1);
    if (previous === undefined || previous.by !== by) {
      parts.push({ interval: { first, last }, by, groups: new Set(open) });
      return;
    }
    previous.interval = { first: previous.interval.first, last };
    for (const group of open) previous.groups.add(group);
  };
  sweepPrefixes(groupByPrefix(entries, interval), { enter: () => true, pass, within: interval });
  return parts.map(({ interval, by, groups }) => {
    const decisive = by?.entries[0]?.entry;
    return {
      interval,
      verdict: decisive?.verdict ?? "masquerade",
      by: decisive,
      lost: losers(groups, decisive),
    };
  });
}

/** Why `loser` does not decide, though it contains the address; `weighed`: whether the longest prefix decides. */
export function whyLost(winner: Entry, loser: Entry, weighed: boolean): string {
  if (!weighed) return "it is further down, and the first entry decides";
  return loser.cidr.bits === winner.cidr.bits
    ? "it is the same prefix, further down"
    : "its prefix is shorter, and with masqueradeCIDRs the longest decides";
}

function indexOf(group: Group): number {
  return group.entries[0]?.index ?? Number.POSITIVE_INFINITY;
}

function losers(groups: ReadonlySet<Group>, decisive: Entry | undefined): Entry[] {
  const all = [...groups].flatMap((group) => group.entries);
  return all
    .sort((a, b) => a.index - b.index)
    .map(({ entry }) => entry)
    .filter((entry) => entry !== decisive);
}

/** The entries that share addresses with the interval. */
function groupByPrefix(entries: readonly Entry[], { first, last }: Interval): Group[] {
  const groups = new Map<string, Group>();
  for (const [index, entry] of entries.entries()) {
    const { cidr } = entry;
    if (cidr.base > last || lastAddress(cidr) < first) continue;
    const key = `${cidr.base}/${cidr.bits}`;
    const group = groups.get(key) ?? { cidr, entries: [] };
    group.entries.push({ entry, index });
    groups.set(key, group);
  }
  return [...groups.values()];
}

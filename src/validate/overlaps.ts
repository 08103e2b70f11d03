/** Entries that change nothing: no error, but mostly not what somebody meant. */
import { type Cidr, lastAddress } from "../core/cidr.ts";
import type { InspectedConfig } from "../core/config.ts";
import type { ConfigOptions } from "../core/config-options.ts";
import type { Entries, Item } from "../core/key-lists.ts";
import { reportInto } from "../core/place.ts";
import type { Problem } from "../core/problem.ts";
import { compileEntries, type Entry, enabledFamilies } from "../core/ruleset.ts";

/** An entry without which every packet would be treated the same. */
export interface Overlap {
  readonly entry: Entry;
  /** The one that decides in its place: the same prefix, or the next wider one; undefined if none covers it. */
  readonly by: Entry | undefined;
}

/**
 * The entries of a ruleset that change nothing, in address order: those that stand twice, those inside a wider one of
 * the same verdict (with no other in between), and exceptions that nothing covers.
 *
 * Prefixes nest or are disjoint, so a sweep in address order with a stack of those that are open finds the next wider
 * one of each: O(n log n) for the sort, linear after.
 */
export function findOverlaps(entries: readonly Entry[]): Overlap[] {
  const overlaps: Overlap[] = [];
  const open: { readonly entry: Entry; readonly last: bigint }[] = [];
  for (const entry of [...entries].sort(byAddress)) {
    const { base, bits } = entry.cidr;
    for (let top = open.at(-1); top !== undefined && top.last < base; top = open.at(-1)) open.pop();
    const by = open.at(-1)?.entry;
    const isTwin = by?.cidr.base === base && by.cidr.bits === bits;
    // What no entry covers is masqueraded.
    if (isTwin || (by?.verdict ?? "masquerade") === entry.verdict) overlaps.push({ entry, by });
    if (!isTwin) open.push({ entry, last: lastAddress(entry.cidr) });
  }
  return overlaps;
}

/** Wider ones first; the sort is stable, so that of equal ones the first counts. */
function byAddress({ cidr: a }: Entry, { cidr: b }: Entry): number {
  return a.base < b.base ? -1 : a.base > b.base ? 1 : a.bits - b.bits;
}

/** A warning for each entry of a configuration's lists that changes nothing, in their order. */
export function overlapWarnings(
  { config, lists }: InspectedConfig,
  options: Pick<ConfigOptions, "enableIPv6">,
): Problem[] {
  const overlaps = new Map<Cidr, Overlap>();
  for (const family of enabledFamilies(options)) {
    for (const overlap of findOverlaps(compileEntries(family, config)))
      overlaps.set(overlap.entry.cidr, overlap);
  }
  if (overlaps.size === 0) return [];
  const warnings: Problem[] = [];
  const warn = reportInto(warnings);
  const names = createNames(lists);
  for (const { items, values } of lists) {
    for (const [i, cidr] of values.entries()) {
      const overlap = overlaps.get(cidr);
      // The defaults are nobody's mistake, and who writes link-local down says what the default is.
      if (overlap !== undefined && items[i]?.at !== undefined && !isLinkLocal(overlap))
        warn("redundant", items[i], explain(overlap, names(items[i]?.file.path)));
    }
  }
  return warnings;
}

function isLinkLocal({ entry, by }: Overlap): boolean {
  return by?.reason === "link-local" && by.cidr.bits === entry.cidr.bits;
}

function explain({ entry, by }: Overlap, nameOf: (entry: Entry) => string): string {
  const { text, base, bits } = entry.cidr;
  if (by === undefined) return `no entry covers ${text}, so it is masqueraded without this exception`;
  if (by.cidr.base === base && by.cidr.bits === bits) return `${text} is there already, as ${nameOf(by)}`;
  return `${text} is covered by ${by.cidr.text} (${nameOf(by)}), and changes nothing`;
}

/** Names of entries for a message about one of the file `path`. */
function createNames(lists: readonly Entries[]): (path: string | undefined) => (entry: Entry) => string {
  const items = new Map<Cidr, Item | undefined>();
  for (const list of lists) for (const [i, cidr] of list.values.entries()) items.set(cidr, list.items[i]);
  return (path) =>
    ({ cidr }) => {
      const item = items.get(cidr);
      if (item === undefined) return "link-local";
      if (item.index === undefined) return item.file.path;
      return `${item.key}[${item.index}]${item.file.path === path ? "" : ` of ${item.file.path}`}`;
    };
}

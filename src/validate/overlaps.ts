/** Entries that change nothing: not an error, but rarely intended. */
import { type Cidr, isSamePrefix } from "../core/cidr.ts";
import type { InspectedConfig } from "../core/config.ts";
import type { ConfigOptions } from "../core/config-options.ts";
import { sweepPrefixes } from "../core/intervals.ts";
import type { Entries, Item } from "../core/key-lists.ts";
import { reportInto } from "../core/place.ts";
import type { Problem } from "../core/problem.ts";
import { compileEntries, compileScope, type Entry, enabledFamilies, type Scope } from "../core/ruleset.ts";
import { isOursByDefault } from "../core/sources.ts";

/** An entry that changes the treatment of no packet. */
export interface Overlap {
  readonly entry: Entry;
  /** The entry that decides in its place: the same prefix, or the next wider one; undefined if none covers it. */
  readonly by: Entry | undefined;
}

/**
 * The entries of a ruleset that change nothing, in address order: duplicates, those inside a wider one of the same
 * verdict (with no other in between), and those that nothing covers and that say what holds `otherwise`.
 */
export function findOverlaps(
  entries: readonly Entry[],
  otherwise: Entry["verdict"] = "masquerade",
): Overlap[] {
  const overlaps: Overlap[] = [];
  sweepPrefixes(entries, {
    enter(entry, around) {
      const by = around.at(-1);
      const isTwin = isSamePrefix(by?.cidr, entry.cidr);
      if (isTwin || (by?.verdict ?? otherwise) === entry.verdict) overlaps.push({ entry, by });
      return !isTwin;
    },
  });
  return overlaps;
}

/** A warning for each entry of a configuration's lists that changes nothing, in their order. */
export function overlapWarnings(
  { config, lists }: InspectedConfig,
  options: Pick<ConfigOptions, "enableIPv6">,
): Problem[] {
  const overlaps = new Map<Cidr, Overlap>();
  for (const family of enabledFamilies(options)) {
    for (const overlap of [
      ...findOverlaps(compileEntries(family, config)),
      ...sourceOverlaps(compileScope(family, config)),
      ...addressOverlaps(config.outputAddresses.filter((block) => block.family === family)),
    ])
      overlaps.set(overlap.entry.cidr, overlap);
  }
  if (overlaps.size === 0) return [];
  const warnings: Problem[] = [];
  const warn = reportInto(warnings);
  const names = createNames(lists);
  for (const { items, values } of lists) {
    for (const [i, cidr] of values.entries()) {
      const overlap = overlaps.get(cidr);
      // The defaults are not the operator's mistake, and an explicit link-local entry documents the default.
      if (overlap === undefined || isLinkLocal(overlap) || isConflict(overlap)) continue;
      if (items[i]?.at !== undefined)
        warn("redundant", items[i], explain(overlap, names(items[i]?.file.path)));
    }
  }
  return warnings;
}

/** The same for sources, of which those without an entry may be ours or not. */
function sourceOverlaps({ sources }: Pick<Scope, "sources"> = { sources: [] }): Overlap[] {
  const entries = sources.map(
    ({ cidr, isOurs }): Entry => ({ cidr, verdict: isOurs ? "masquerade" : "return", reason: "configured" }),
  );
  return findOverlaps(entries, isOursByDefault(sources) ? "masquerade" : "return");
}

function addressOverlaps(blocks: readonly Cidr[]): Overlap[] {
  return findOverlaps(blocks.map((cidr): Entry => ({ cidr, verdict: "return", reason: "configured" })));
}

function isLinkLocal({ entry, by }: Overlap): boolean {
  return by?.reason === "link-local" && by.cidr.bits === entry.cidr.bits;
}

/** An entry that is in both lists is an error, and is reported as one. */
function isConflict({ entry, by }: Overlap): boolean {
  return by !== undefined && by.verdict !== entry.verdict;
}

function explain({ entry, by }: Overlap, nameOf: (entry: Entry) => string): string {
  const { text } = entry.cidr;
  if (by === undefined)
    return `no entry covers ${text}, so it is ${entry.verdict === "return" ? "not " : ""}masqueraded without this exception`;
  if (isSamePrefix(by.cidr, entry.cidr)) return `${text} is there already, as ${nameOf(by)}`;
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

/**
 * Since when no new connection has asked for an entry of the list. The kernel's counters start from zero whenever rules are
 * written again, so a packet may go uncounted, and then the time starts again. Pure.
 */

import type { Family } from "../core/cidr.ts";

/** An entry as one reading of the chain shows it. */
export interface EntryReading {
  /** As written in the configuration. */
  readonly cidr: string;
  /** The kernel's number of the rule: a rule that is written again has a different one. */
  readonly handle: number;
  /** Whether a packet may have asked for it since its rule was written. */
  readonly isAsked: boolean;
}

/** The entries of a family; undefined if the chain differs from the rules that we know. */
export interface FamilyReading {
  readonly family: Family;
  readonly entries: readonly EntryReading[] | undefined;
}

export interface Unasked {
  readonly cidr: string;
  readonly forMs: number;
}

export interface AskedEntries {
  /**
   * Takes a reading; undefined if the backend counts no entries. `isLast`: we are about to write the rules again, which then
   * loses no counts.
   */
  readonly read: (families: readonly FamilyReading[] | undefined, now: number, isLast: boolean) => void;
  /** The entries that were in the last reading, and that nothing has asked for since long. */
  readonly unasked: (now: number) => readonly Unasked[];
}

/** Entries without a packet for a shorter time are no news. */
const LONG_MS = 7 * 24 * 3_600_000;
/** More than these are no help to people. */
const SHOWN = 100;

interface Known extends EntryReading {
  readonly since: number;
}

/** Before the first reading. Times are in milliseconds of a clock that never jumps. */
export function createAskedEntries(): AskedEntries {
  const known = new Map<Family, ReadonlyMap<string, Known>>();
  /** Families whose rules we were about to write again at the last reading of them. */
  const sealed = new Set<Family>();
  let shown: readonly Family[] = [];
  return {
    read(families, now, isLast) {
      if (families === undefined) known.clear();
      shown = [];
      for (const { family, entries } of families ?? []) {
        const before = known.get(family);
        const isSealed = sealed.delete(family);
        if (entries === undefined) continue;
        if (isLast) sealed.add(family);
        known.set(family, new Map(entries.map((one) => [one.cidr, follow(one, before, now, isSealed)])));
        shown = [...shown, family];
      }
    },
    unasked: (now) =>
      shown
        .flatMap((family) => [...(known.get(family)?.values() ?? [])])
        .filter(({ isAsked, since }) => !isAsked && now - since >= LONG_MS)
        .slice(0, SHOWN)
        .map(({ cidr, since }) => ({ cidr, forMs: now - since })),
  };
}

/** Between two readings, another process may have written the rules again, and their counts are lost. */
function follow(
  one: EntryReading,
  before: ReadonlyMap<string, Known> | undefined,
  now: number,
  isSealed: boolean,
): Known {
  const last = before?.get(one.cidr);
  if (last === undefined) return { ...one, since: now };
  const isWhole = isSealed || last.handle === one.handle;
  return { ...one, isAsked: last.isAsked || one.isAsked, since: isWhole ? last.since : now };
}

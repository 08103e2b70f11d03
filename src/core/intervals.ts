/**
 * Sorted disjoint intervals of addresses, computed from prefixes by longest match, and their decomposition into CIDRs.
 * One code path for both families.
 */
import { ADDRESS_BITS, type Cidr, type Family, formatCidr, isSamePrefix, lastAddress } from "./cidr.ts";

/** All addresses from `first` to `last`, both included. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** Every address of a family. */
export function everything(family: Family): Interval {
  return { first: 0n, last: (1n << BigInt(ADDRESS_BITS[family])) - 1n };
}

/** The callbacks of a sweep over prefixes. */
interface Sweep<T> {
  /** Called at each prefix, with those around it from the widest to the narrowest; false leaves it out. */
  readonly enter: (prefix: T, around: readonly T[]) => boolean;
  /** Called for addresses that have the same prefixes around them. The last of these is the longest match. */
  readonly pass?: (first: bigint, last: bigint, around: readonly T[]) => void;
  /** The addresses to sweep; all of them by default. */
  readonly within?: Interval;
}

/**
 * A sweep over the prefixes of one family in address order, a wider one before those inside it, equal ones in their own
 * order. Prefixes nest or are disjoint, so a stack holds those that are open. O(n log n) for the sort, linear after.
 */
export function sweepPrefixes<T extends { readonly cidr: Cidr }>(
  prefixes: readonly T[],
  { enter, pass, within: { first, last } = everything("IPv6") }: Sweep<T>,
): void {
  const open: T[] = [];
  const ends: bigint[] = [];
  let at = first;
  const advance = (end: bigint) => {
    const until = end < last ? end : last;
    if (until < at) return;
    pass?.(at, until, open);
    at = until + 1n;
  };
  const closeBefore = (address: bigint) => {
    for (let end = ends.at(-1); end !== undefined && end < address; end = ends.at(-1)) {
      advance(end);
      open.pop();
      ends.pop();
    }
  };
  for (const prefix of [...prefixes].sort(byAddress)) {
    const { cidr } = prefix;
    closeBefore(cidr.base);
    if (!enter(prefix, open)) continue;
    if (cidr.base > at) advance(cidr.base - 1n);
    open.push(prefix);
    ends.push(lastAddress(cidr));
  }
  closeBefore(last + 1n);
  advance(last);
}

/** In address order, a wider prefix before those inside it. The sort is stable, so equal ones stay in the given order. */
function byAddress({ cidr: a }: { readonly cidr: Cidr }, { cidr: b }: { readonly cidr: Cidr }): number {
  return a.base < b.base ? -1 : a.base > b.base ? 1 : a.bits - b.bits;
}

/** A prefix and whether its addresses belong to the result where no longer prefix decides. */
export interface WeighedPrefix {
  readonly cidr: Cidr;
  readonly included: boolean;
}

/**
 * The addresses that longest-prefix matching includes, as sorted, disjoint and non-adjacent intervals.
 * All CIDRs are of one family. Of equal prefixes the first counts.
 */
export function longestPrefixIntervals(prefixes: readonly WeighedPrefix[]): Interval[] {
  const intervals: Interval[] = [];
  sweepPrefixes(prefixes, {
    enter: ({ cidr }, around) => !isSamePrefix(around.at(-1)?.cidr, cidr),
    pass(first, last, around) {
      if (around.at(-1)?.included === true) append(intervals, first, last);
    },
  });
  return intervals;
}

/** Adds an interval after all others, as one with the last if they touch. */
function append(intervals: Interval[], first: bigint, last: bigint): void {
  const previous = intervals.at(-1);
  if (previous !== undefined && previous.last + 1n === first)
    intervals[intervals.length - 1] = { first: previous.first, last };
  else intervals.push({ first, last });
}

/** The fewest CIDRs that cover exactly `interval`, in address order. */
export function decompose(family: Family, interval: Interval): Cidr[] {
  const width = ADDRESS_BITS[family];
  const cidrs: Cidr[] = [];
  let { first } = interval;
  while (first <= interval.last) {
    let bits = width;
    while (bits > 0) {
      const size = 1n << BigInt(width - bits + 1);
      if (first % size !== 0n || first + size - 1n > interval.last) break;
      bits--;
    }
    const block = { family, base: first, bits };
    cidrs.push({ ...block, text: formatCidr(block) });
    first += 1n << BigInt(width - bits);
  }
  return cidrs;
}

/** The addresses of `intervals` that lie in none of `removed`. Both are sorted and disjoint, as is the result. */
export function subtractIntervals(intervals: readonly Interval[], removed: readonly Interval[]): Interval[] {
  const left: Interval[] = [];
  let at = 0;
  for (const { first, last } of intervals) {
    let from = first;
    while (at < removed.length && (removed[at] as Interval).last < from) at++;
    // An interval that ends after this one may also cover the next: keep it.
    for (let i = at; i < removed.length && (removed[i] as Interval).first <= last; i++) {
      const hole = removed[i] as Interval;
      if (hole.first > from) left.push({ first: from, last: hole.first - 1n });
      from = hole.last + 1n;
    }
    if (from <= last) left.push({ first: from, last });
  }
  return left;
}

/** The addresses that both lists have. */
export function meetIntervals(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  return subtractIntervals(a, subtractIntervals(a, b));
}

/** The addresses that either list has, as sorted, disjoint and non-adjacent intervals. */
export function uniteIntervals(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const united: Interval[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const one = a[i];
    const other = b[j];
    const takeOne = other === undefined || (one !== undefined && one.first <= other.first);
    const next = (takeOne ? one : other) as Interval;
    const last = united.at(-1);
    if (last === undefined || next.first > last.last + 1n) united.push(next);
    else if (next.last > last.last) united[united.length - 1] = { first: last.first, last: next.last };
    if (takeOne) i++;
    else j++;
  }
  return united;
}

/** The difference between two lists: whole intervals to take out and to put in. */
export interface IntervalChange {
  readonly removed: readonly Interval[];
  readonly added: readonly Interval[];
}

/** The intervals that only one of two sorted disjoint lists has, by their bounds: a set's elements, not its addresses. */
export function changeIntervals(before: readonly Interval[], after: readonly Interval[]): IntervalChange {
  const removed: Interval[] = [];
  const added: Interval[] = [];
  for (let i = 0, j = 0; i < before.length || j < after.length; ) {
    const old = before[i];
    const fresh = after[j];
    if (old !== undefined && fresh !== undefined && old.first === fresh.first && old.last === fresh.last) {
      i++;
      j++;
    } else if (fresh === undefined || (old !== undefined && old.first <= fresh.first)) {
      removed.push(old as Interval);
      i++;
    } else {
      added.push(fresh);
      j++;
    }
  }
  return { removed, added };
}

/**
 * Splits a change into the smallest parts of which no two concern the same address. Each part must be made at
 * once, or an address would have neither its old verdict nor its new one for a moment; the parts may follow one another.
 */
export function independentChanges({ removed, added }: IntervalChange): IntervalChange[] {
  const parts: { removed: Interval[]; added: Interval[] }[] = [];
  let end = -1n;
  for (let i = 0, j = 0; i < removed.length || j < added.length; ) {
    const old = removed[i];
    const fresh = added[j];
    const takeOld = fresh === undefined || (old !== undefined && old.first <= fresh.first);
    const interval = (takeOld ? old : fresh) as Interval;
    if (interval.first > end) parts.push({ removed: [], added: [] });
    parts.at(-1)?.[takeOld ? "removed" : "added"].push(interval);
    if (interval.last > end) end = interval.last;
    if (takeOld) i++;
    else j++;
  }
  return parts;
}

/** Addresses of the traced node; undefined if they are not known. */
export type LocalAddresses = Readonly<Record<Family, readonly Interval[]>>;

/** Whether an address lies in one of sorted disjoint intervals. */
export function includes(intervals: readonly Interval[], address: bigint): boolean {
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((intervals[middle] as Interval).last < address) low = middle + 1;
    else high = middle;
  }
  const found = intervals[low];
  return found !== undefined && found.first <= address;
}

/**
 * Sorted disjoint intervals of addresses, computed from prefixes of which the longest match decides,
 * and their decomposition into CIDRs again. One code path for both families.
 */
import { ADDRESS_BITS, type Cidr, type Family, formatCidr, lastAddress } from "./cidr.ts";

/** All addresses from `first` to `last`, both included. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** A prefix and whether its addresses belong to the result where no longer prefix says otherwise. */
export interface Choice {
  readonly cidr: Cidr;
  readonly included: boolean;
}

/**
 * The addresses that longest-prefix matching includes, as sorted, disjoint and non-adjacent intervals.
 * All CIDRs are of one family. Of equal prefixes the first counts.
 *
 * A sweep over the prefixes in address order with a stack of those that are open: prefixes nest or are
 * disjoint, so the top of the stack is always the longest match. O(n log n) for the sort, linear after.
 */
export function longestPrefixIntervals(choices: readonly Choice[]): Interval[] {
  const intervals: Interval[] = [];
  const open: Choice[] = [];
  let at = 0n;
  // What lies between the last boundary and this one belongs to the innermost open prefix.
  const advance = (to: bigint) => {
    if (to <= at) return;
    if (open.at(-1)?.included === true) append(intervals, at, to - 1n);
    at = to;
  };
  const closeUntil = (address: bigint) => {
    for (let top = open.at(-1); top !== undefined && lastAddress(top.cidr) < address; top = open.at(-1)) {
      advance(lastAddress(top.cidr) + 1n);
      open.pop();
    }
  };
  for (const choice of sortByAddress(choices)) {
    closeUntil(choice.cidr.base);
    advance(choice.cidr.base);
    open.push(choice);
  }
  closeUntil(1n << 129n);
  return intervals;
}

/** Adds an interval behind all others, as one with the last if they touch. */
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

/** Prefixes in address order, a wider one before those inside it; equal ones in the given order, of which the first stays. */
function sortByAddress(choices: readonly Choice[]): Choice[] {
  const sorted = [...choices].sort(({ cidr: a }, { cidr: b }) =>
    a.base < b.base ? -1 : a.base > b.base ? 1 : a.bits - b.bits,
  );
  return sorted.filter(({ cidr }, i) => {
    const previous = sorted[i - 1]?.cidr;
    return previous === undefined || previous.base !== cidr.base || previous.bits !== cidr.bits;
  });
}

/** The address space for the page: the share of each part that keeps the pod's address, and the names of ranges. */
import { ADDRESS_BITS, constantCidr, type Family, formatAddress, lastAddress } from "../../core/cidr.ts";
import { decompose, type Interval } from "../../core/intervals.ts";
import { SPECIAL_RANGES } from "../../core/special-ranges.ts";

/** The number of blocks of IPv4's first octet. */
const OCTETS = 256;
const OCTET_SIZE = 2 ** 24;
/** A range of more CIDRs than this is written by its ends. */
const CIDRS_AT_MOST = 3;

/** The share of a family's address space in sorted disjoint intervals. */
export interface SpaceShares {
  /** Of all of it, 0 to 1. */
  readonly whole: number;
  /** For each first octet of IPv4, of its addresses; exact. */
  readonly octets: readonly number[];
}

/** By list, since a page that reloads would otherwise walk 100,000 intervals each time (20 ms). */
const weighed = new WeakMap<readonly Interval[], SpaceShares>();

/** Remembers by identity: a list must never change. */
export function spaceShares(family: Family, intervals: readonly Interval[]): SpaceShares {
  const known = weighed.get(intervals);
  if (known !== undefined) return known;
  const shares = {
    whole: wholeShare(family, intervals),
    octets: family === "IPv4" ? octetShares(intervals) : [],
  };
  weighed.set(intervals, shares);
  return shares;
}

/** A double is exact enough for a share, and for IPv4 exact. */
function wholeShare(family: Family, intervals: readonly Interval[]): number {
  const size = 2 ** ADDRESS_BITS[family];
  let sum = 0;
  for (const { first, last } of intervals) sum += Number(last) - Number(first) + 1;
  return sum / size;
}

function octetShares(intervals: readonly Interval[]): number[] {
  const sums = new Array<number>(OCTETS).fill(0);
  for (const interval of intervals) {
    const first = Number(interval.first);
    const last = Number(interval.last);
    for (let octet = Math.floor(first / OCTET_SIZE); octet * OCTET_SIZE <= last; octet++) {
      const from = Math.max(first, octet * OCTET_SIZE);
      const to = Math.min(last, (octet + 1) * OCTET_SIZE - 1);
      sums[octet] = (sums[octet] ?? 0) + to - from + 1;
    }
  }
  return sums.map((sum) => sum / OCTET_SIZE);
}

/** As CIDRs, or by its ends if it takes many. */
export function intervalText(family: Family, interval: Interval): string {
  const cidrs = decompose(family, interval);
  if (cidrs.length <= CIDRS_AT_MOST) return cidrs.map(({ text }) => text).join(", ");
  return `${formatAddress(family, interval.first)} to ${formatAddress(family, interval.last)}`;
}

const NAMED = SPECIAL_RANGES.map(({ text, name }) => ({ name, cidr: constantCidr(text) }));

/** The name of a range; empty if it is just addresses. The narrowest block that has all of it gives the name. */
export function intervalName(family: Family, { first, last }: Interval): string {
  const found = NAMED.filter(
    ({ cidr }) => cidr.family === family && cidr.base <= first && last <= lastAddress(cidr),
  ).toSorted((a, b) => b.cidr.bits - a.cidr.bits)[0];
  if (found === undefined) return "";
  const isWhole = found.cidr.base === first && lastAddress(found.cidr) === last;
  return isWhole ? found.name : found.cidr.bits === 0 ? "" : `within ${found.name}`;
}

/** The addresses whose verdict changes between two rulesets, their number, and whether that is dangerous. */
import { ADDRESS_BITS, type Cidr, constantCidr, type Family, lastAddress } from "./cidr.ts";
import { type Interval, subtractIntervals } from "./intervals.ts";
import { LINK_LOCAL } from "./special-ranges.ts";

/** The addresses of one family whose verdict changes; both lists are sorted and disjoint. */
export interface VerdictChange {
  readonly family: Family;
  /** Masqueraded before, now with the pod's address. */
  readonly kept: readonly Interval[];
  /** The other way round. */
  readonly masqueraded: readonly Interval[];
}

/** The change when the addresses that keep the pod's address are `after` instead of `before`. */
export function changeVerdicts(
  family: Family,
  before: readonly Interval[],
  after: readonly Interval[],
): VerdictChange {
  return {
    family,
    kept: subtractIntervals(after, before),
    masqueraded: subtractIntervals(before, after),
  };
}

/** The number of addresses in sorted disjoint intervals. */
export function countAddresses(intervals: readonly Interval[]): bigint {
  return intervals.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
}

/** A range of addresses where a change needs a second look, and its name. */
export interface Zone {
  readonly what: string;
  readonly cidr: Cidr;
}

/** A change that is likely a mistake. */
export interface Danger {
  readonly family: Family;
  /** Of destinations, of sources (`left alone`), or of the address that packets leave with. */
  readonly change: "kept" | "masqueraded" | "left alone" | "no address";
  readonly what: string;
  /** The number of destinations or sources concerned. */
  readonly addresses: bigint;
}

/** Zones that every node has. */
export const COMMON_ZONES: readonly Zone[] = [
  { what: "the cloud's metadata service", cidr: constantCidr("169.254.169.254/32") },
  { what: "the cloud's metadata service", cidr: constantCidr("fd00:ec2::254/128") },
  { what: "link-local addresses", cidr: LINK_LOCAL.IPv4 },
  { what: "link-local addresses", cidr: LINK_LOCAL.IPv6 },
];

/**
 * The dangers of a change: it reaches into one of the zones, or concerns all addresses, or more than `maxPercent` of
 * the family's address space.
 */
export function findDangers(change: VerdictChange, zones: readonly Zone[], maxPercent: number): Danger[] {
  const { family } = change;
  return (["kept", "masqueraded"] as const).flatMap((kind) => {
    const intervals = change[kind];
    const danger = (what: string, addresses: bigint): Danger => ({ family, change: kind, what, addresses });
    const reached = zones
      .filter(({ cidr }) => cidr.family === family)
      .map(({ what, cidr }) => danger(`${what} (${cidr.text})`, countAddresses(within(intervals, cidr))))
      .filter(({ addresses }) => addresses > 0n);
    const total = countAddresses(intervals);
    return [
      ...reached,
      ...(isShareAbove(total, family, maxPercent)
        ? [danger(shareText(total, family, maxPercent), total)]
        : []),
    ];
  });
}

/** The part of sorted disjoint intervals that lies in a block. */
export function within(intervals: readonly Interval[], cidr: Cidr): Interval[] {
  const outside = subtractIntervals(intervals, [{ first: cidr.base, last: lastAddress(cidr) }]);
  return subtractIntervals(intervals, outside);
}

/** Exact in millionths of a percent, as precise as the flag. */
function isShareAbove(addresses: bigint, family: Family, percent: number): boolean {
  const scale = 1_000_000;
  return (
    addresses * 100n * BigInt(scale) > BigInt(Math.round(percent * scale)) << BigInt(ADDRESS_BITS[family])
  );
}

function shareText(addresses: bigint, family: Family, percent: number): string {
  const space = 1n << BigInt(ADDRESS_BITS[family]);
  if (addresses === space) return `every ${family} address`;
  const hundredths = Number((addresses * 10_000n) / space);
  return `${(hundredths / 100).toFixed(2)} % of all ${family} addresses, more than ${percent} %`;
}

/**
 * The lists of CIDRs, and destinations whose place in them is known. Entries are /24 networks, every other one from
 * 11.0.0.0 on, so that neighbours cannot be merged and there is as much outside the list as in it.
 */
const FIRST_NETWORK = 11 << 16;
/** More than any list of CIDRs covers, so that a changed entry collides with no other. */
const SPARE_NETWORK = 200 << 16;

/** A list of this length. */
export function cidrList(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${network(FIRST_NETWORK + 2 * i)}.0/24`);
}

/** The same list but for one entry, in the middle. */
export function withOneChanged(list: readonly string[], generation: number): string[] {
  return list.with(list.length >> 1, `${network(SPARE_NETWORK + generation)}.0/24`);
}

interface Place {
  readonly title: string;
  /** Whether a flow there is exempt from masquerading. */
  readonly isKept: boolean;
  /** The network, counted from the first; `random` is from [0, 1). */
  readonly at: (count: number, random: number) => number;
}

const any = (count: number, random: number) => 2 * Math.floor(random * Math.max(count, 1));

/**
 * Where in the list the destination of a flow is. A chain is walked from the first entry to the last; the part of a set that the
 * flow before has looked up is in the processor's caches, so random destinations are the worst case.
 */
export const PLACES = {
  first: { title: "first entry", isKept: true, at: () => 0 },
  last: { title: "last entry", isKept: true, at: (count) => 2 * (count - 1) },
  any: { title: "random entry", isKept: true, at: any },
  gap: { title: "no match", isKept: false, at: (count) => 2 * (count >> 1) + 1 },
  gaps: { title: "random, no match", isKept: false, at: (count, random) => any(count, random) + 1 },
} as const satisfies Readonly<Record<string, Place>>;

export type Position = keyof typeof PLACES;
export const POSITIONS = Object.keys(PLACES) as readonly Position[];

/** The network, as `a.b.c`, of a flow's destination. */
export function destinationNetwork(position: Position, count: number): string {
  const place: Place = PLACES[position];
  return network(FIRST_NETWORK + place.at(count, Math.random()));
}

function network(number: number): string {
  return `${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
}

/**
 * The lists of CIDRs, and destinations whose place in them is known. Entries are /24 networks, every other one from
 * 11.0.0.0 on, so that neighbours cannot be merged and there is as much outside the list as in it.
 */

/**
 * Where in the list the destination of a flow is: in its first or last entry, in a random one, in the gap in the middle, in a
 * random gap. A chain is walked from the first entry to the last; the part of a set that the flow before has looked up is in the
 * processor's caches. Random destinations are the worst case.
 */
export const POSITIONS = ["first", "last", "any", "gap", "gaps"] as const;
export type Position = (typeof POSITIONS)[number];

const FIRST_NETWORK = 11 << 16;
/** More than any list of CIDRs covers, so that a changed entry collides with no other. */
const SPARE_NETWORK = 200 << 16;

/** A list of this length. */
export function cidrList(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${network(FIRST_NETWORK + 2 * i)}.0/24`);
}

/** The same list but for one entry, in the middle. */
export function withOneChanged(list: readonly string[], generation: number): string[] {
  const at = list.length >> 1;
  return list.map((cidr, i) => (i === at ? changedEntry(generation) : cidr));
}

/** An entry that is in no list. */
function changedEntry(generation: number): string {
  return `${network(SPARE_NETWORK + generation)}.0/24`;
}

/** A configuration that has the list. */
export function configText(list: readonly string[]): string {
  return JSON.stringify({ resyncInterval: "100ms", cidrLimit: 1_000_000, nonMasqueradeCIDRs: list });
}

/** Whether a flow there is exempt from masquerading. */
export function isKept(position: Position): boolean {
  return position !== "gap" && position !== "gaps";
}

/** The network, as `a.b.c`, of a flow's destination; `random` is from [0, 1). */
export function destinationNetwork(position: Position, count: number, random: number): string {
  const any = Math.floor(random * Math.max(count, 1));
  switch (position) {
    case "first":
      return network(FIRST_NETWORK);
    case "last":
      return network(FIRST_NETWORK + 2 * (count - 1));
    case "any":
      return network(FIRST_NETWORK + 2 * any);
    case "gap":
      return network(FIRST_NETWORK + 2 * (count >> 1) + 1);
    case "gaps":
      return network(FIRST_NETWORK + 2 * any + 1);
  }
}

function network(number: number): string {
  return `${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
}

/**
 * Lists to change between while flows are made: each change is of another kind, and under all of them the same
 * destinations are kept.
 */
import type { Sender } from "./equivalence-probe.ts";

/** How many entries of each family. */
export interface Sizes {
  readonly IPv4: number;
  readonly IPv6: number;
}

/** A network of each family by its number: listed ones have even numbers. */
const NETWORKS = {
  IPv4: {
    wide: "10.0.0.0/8",
    width: 24,
    address: (i: number, end: number) => `10.${i >> 8}.${i & 255}.${end}`,
  },
  IPv6: {
    wide: "fd10::/16",
    width: 48,
    address: (i: number, end: number) => `fd10:1:${i.toString(16)}:${(end * 256).toString(16)}::`,
  },
} as const;
/** Far from those, networks with exceptions. */
const ELSEWHERE = {
  IPv4: { wide: "11.0.0.0/8", exception: (i: number) => `11.0.${i}.0/24` },
  IPv6: { wide: "fd11::/16", exception: (i: number) => `fd11:0:${i.toString(16)}::/48` },
} as const;
type Family = keyof typeof NETWORKS;
const FAMILIES = ["IPv4", "IPv6"] as const;

/** How many entries come and go in a change of a few elements. */
const FEW = 20;

/** Both families' lists, made for each by itself. */
function both(sizes: Sizes, list: (family: Family, size: number) => readonly string[]): readonly string[] {
  return FAMILIES.flatMap((family) => list(family, sizes[family]));
}

function network(family: Family, i: number): string {
  return `${NETWORKS[family].address(i, 0)}/${NETWORKS[family].width}`;
}

/** The two halves of a network, and the first half of the next: no entry and no interval stays what it was. */
function halves(family: Family, i: number): readonly string[] {
  const { address, width } = NETWORKS[family];
  return [address(i, 0), address(i, 128), address(i + 1, 0)].map((one) => `${one}/${width + 1}`);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The fields of configurations, each of which is to be followed by the next, and the last by the first. */
export function atomicLists(sizes: Sizes): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const even = both(sizes, (family, size) => numbers(size).map((i) => network(family, 2 * i)));
  const others = both(sizes, (family, size) =>
    numbers(size).map((i) => network(family, i >= size - FEW ? 2 * i + 1 : 2 * i)),
  );
  const odd = both(sizes, (family, size) => numbers(size).map((i) => network(family, 2 * i + 1)));
  const elsewhere = FAMILIES.map((family) => ELSEWHERE[family].wide);
  const exceptions = both({ IPv4: FEW, IPv6: FEW }, (family, size) =>
    numbers(size).map(ELSEWHERE[family].exception),
  );
  const wide = FAMILIES.map((family) => NETWORKS[family].wide);
  const lists = {
    "exceptions gone": { nonMasqueradeCIDRs: even },
    "a few elements": { nonMasqueradeCIDRs: others },
    "every element": {
      nonMasqueradeCIDRs: both(sizes, (family, size) => numbers(size).flatMap((i) => halves(family, 2 * i))),
    },
    "one for many": { nonMasqueradeCIDRs: wide },
    "exceptions elsewhere": { nonMasqueradeCIDRs: wide, masqueradeCIDRs: odd },
    "many for one": { nonMasqueradeCIDRs: [...even, ...elsewhere], masqueradeCIDRs: exceptions },
  };
  const cidrLimit = 10 * (sizes.IPv4 + sizes.IPv6);
  return Object.fromEntries(Object.entries(lists).map(([name, fields]) => [name, { ...fields, cidrLimit }]));
}

/** Destinations that every list treats alike, first and last ones and some in between, and two that none lists. */
export function certainDestinations(sizes: Sizes): Readonly<Record<string, Sender>> {
  const spread = (family: Family, count: number) =>
    numbers(count).map((i) => 2 * Math.floor((i * (sizes[family] - FEW - 1)) / (count - 1)));
  const kept = [
    ...spread("IPv4", 10).map((i) => NETWORKS.IPv4.address(i, i % 4 === 0 ? 255 : 1)),
    ...spread("IPv6", 4).map((i) => `${NETWORKS.IPv6.address(i, 1)}1`),
  ];
  const senders = kept.map((address): [string, Sender] => [address, "pod"]);
  return Object.fromEntries([
    ...senders,
    // Link-local is an entry of its own, or one among the others, as there are exceptions or not.
    ["169.254.10.20", "pod"],
    ["8.8.8.8", "node"],
    ["2600::1", "node"],
  ]);
}

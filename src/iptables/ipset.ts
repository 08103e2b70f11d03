/**
 * A long list as one `hash:net` set, for the iptables backend: one rule looks it up, whatever its length.
 *
 * A hash:net set tries the prefix lengths that it holds from the longest on, and an element marked `nomatch`
 * ends the search with no: exactly longest-prefix semantics, so exceptions need no arithmetic.
 *
 * To replace a set, fill another and swap the two, which no packet can see half done; changing one in place
 * (flush and add) is the worst of all ways, as measured. The set that a rule looks up keeps its name.
 */
import {
  ADDRESS_BITS,
  type Cidr,
  type Family,
  formatCidr,
  isCidr,
  isPassedOn,
  parseCidr,
} from "../core/cidr.ts";
import type { WeighedPrefix } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";

/** The kernel's default; a larger set needs its size at creation. */
const DEFAULT_MAXELEM = 65_536;

const FAMILY_WORDS: Readonly<Record<Family, string>> = { IPv4: "inet", IPv6: "inet6" };

/** The elements of a set: destinations that keep the pod's address, or sources whose packets are ours. */
export type SetRole = "destinations" | "sources";

/** A set that may belong to a chain. */
export interface OwnSet {
  readonly role: SetRole;
  readonly family: Family;
  readonly name: string;
  /** The set to fill before it takes the other's place; an existing one is left from a crash. */
  readonly fresh: string;
}

/**
 * The sets that may belong to a chain. ipset's own bound for names is 31 characters; a chain's is 28, so that each suffix fits. `N`
 * is for new, as `-S4~` would not fit.
 */
export function ownSets({ chain, family }: Pick<Ruleset, "chain" | "family">): readonly OwnSet[] {
  const digit = family === "IPv4" ? 4 : 6;
  return [
    { role: "destinations", family, name: `${chain}-${digit}`, fresh: `${chain}-${digit}~` },
    { role: "sources", family, name: `${chain}-S${digit}`, fresh: `${chain}-N${digit}` },
  ];
}

/** The name of one of them. */
export function setName(target: Pick<Ruleset, "chain" | "family">, role: SetRole): string {
  return ownSets(target).find((one) => one.role === role)?.name ?? "";
}

/**
 * The elements as `ipset save` prints them, without `add NAME`: no length for a single address, `nomatch` after what is not included.
 * Of equal prefixes the first counts.
 */
export function setElements(prefixes: readonly WeighedPrefix[]): readonly string[] {
  const elements = new Map<string, boolean>();
  // An explicit entry wins over half of a /0, which the type cannot hold whole.
  for (const { cidr, included } of prefixes)
    if (cidr.bits > 0) keepFirst(elements, formatElement(cidr), included);
  for (const { cidr, included } of prefixes) {
    if (cidr.bits === 0) for (const half of halves(cidr)) keepFirst(elements, formatElement(half), included);
  }
  return [...elements].map(([element, included]) => (included ? element : `${element} nomatch`));
}

/** Text for `ipset restore` that puts `elements` into a set, in one instant if the set `exists` already. */
export function renderSet(
  { family, name, fresh }: OwnSet,
  elements: readonly string[],
  exists: boolean,
): string {
  const target = exists ? fresh : name;
  const maxelem = Math.max(DEFAULT_MAXELEM, elements.length);
  // hashsize is rounded up to a power of two; with the default of 1024 a long list would be rehashed again and again.
  const hashsize = Math.max(1024, elements.length >> 2);
  return [
    `create ${target} hash:net family ${FAMILY_WORDS[family]} hashsize ${hashsize} maxelem ${maxelem}`,
    ...elements.map((element) => `add ${target} ${element}`),
    ...(exists ? [`swap ${target} ${name}`, `destroy ${target}`] : []),
    "",
  ].join("\n");
}

/** The elements that a listing by `ipset save` shows, in our canonical text. */
export function parseElements(listing: string): readonly string[] {
  return listing
    .split("\n")
    .filter((line) => line.startsWith("add "))
    .map((line) => canonicalElement(line.slice(line.indexOf(" ", 4) + 1)));
}

/** glibc writes the tail of an IPv6 address in dots where RFC 5952 does not; all else has one form only. */
function canonicalElement(element: string): string {
  if (!element.includes(".") || !element.includes(":")) return element;
  const [address = "", ...rest] = element.split(" ");
  const cidr = parseElement("IPv6", address);
  return cidr === undefined ? element : [formatElement(cidr), ...rest].join(" ");
}

/** Whether two lists of elements are one set; order means nothing to a hash. */
export function sameElements(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const elements = new Set(a);
  return b.every((element) => elements.has(element));
}

/** The prefixes that elements describe; those of another kind are left out. */
export function weighedElements(family: Family, elements: readonly string[]): readonly WeighedPrefix[] {
  return elements.flatMap((element) => {
    const [address = "", ...options] = element.split(" ");
    const cidr = parseElement(family, address);
    return cidr === undefined ? [] : { cidr, included: !options.includes("nomatch") };
  });
}

function parseElement(family: Family, address: string): Cidr | undefined {
  const cidr = parseCidr(address.includes("/") ? address : `${address}/${ADDRESS_BITS[family]}`);
  return isCidr(cidr) && cidr.family === family ? cidr : undefined;
}

function keepFirst(elements: Map<string, boolean>, element: string, included: boolean): void {
  if (!elements.has(element)) elements.set(element, included);
}

function formatElement(cidr: Pick<Cidr, "family" | "base" | "bits"> & { readonly text?: string }): string {
  // IPv4 text is canonical unless iptables may read it differently; reusing it saves time in long lists.
  const isCanonical = cidr.family === "IPv4" && cidr.text !== undefined && !isPassedOn(cidr as Cidr);
  const text = isCanonical ? (cidr.text as string) : formatCidr(cidr);
  return text.endsWith(cidr.family === "IPv4" ? "/32" : "/128") ? text.slice(0, text.indexOf("/")) : text;
}

function halves({ family }: Cidr): Pick<Cidr, "family" | "base" | "bits">[] {
  const top = family === "IPv4" ? 1n << 31n : 1n << 127n;
  return [0n, top].map((base) => ({ family, base, bits: 1 }));
}

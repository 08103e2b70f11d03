/**
 * A long list as one `hash:net` set, for the iptables backend: one rule looks it up, whatever its length.
 *
 * A hash:net set tries the prefix lengths that it holds from the longest on, and an element marked `nomatch`
 * ends the search with no: exactly longest-prefix semantics, so exceptions need no arithmetic.
 *
 * To replace a set, fill another and swap the two, which no packet can see half done; changing one in place
 * (flush and add) is the worst of all ways, as measured. The set that a rule looks up keeps its name.
 */
import { type Cidr, type Family, formatCidr, isCidr, isPassedOn, parseCidr } from "../core/cidr.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";

/** ipset's own bound for names is 31 characters; a chain's is 28, so that both suffixes fit. */
const FRESH_SUFFIX = "~";

/** The kernel's default; a larger set needs its size at creation. */
const DEFAULT_MAXELEM = 65_536;

const FAMILY_WORDS: Readonly<Record<Family, string>> = { IPv4: "inet", IPv6: "inet6" };

/** The set that belongs to a chain. */
export function setName({ chain, family }: Pick<Ruleset, "chain" | "family">): string {
  return `${chain}-${family === "IPv4" ? 4 : 6}`;
}

/** The set to fill before it takes the other's place; an existing one is left from a crash. */
export function freshSetName(name: string): string {
  return name + FRESH_SUFFIX;
}

/** The elements as `ipset save` prints them, without `add NAME`: no length for a single address, `nomatch` after exceptions. */
export function setElements(entries: readonly Entry[]): readonly string[] {
  const verdicts = new Map<string, Entry["verdict"]>();
  // An explicit entry wins over half of a /0, which the type cannot hold whole.
  for (const { cidr, verdict } of entries)
    if (cidr.bits > 0) keepFirst(verdicts, formatElement(cidr), verdict);
  for (const { cidr, verdict } of entries) {
    if (cidr.bits === 0) for (const half of halves(cidr)) keepFirst(verdicts, formatElement(half), verdict);
  }
  return [...verdicts].map(([element, verdict]) => (verdict === "return" ? element : `${element} nomatch`));
}

/** Text for `ipset restore` that puts `elements` into the set `name`, in one instant if the set `exists` already. */
export function renderSet(
  { chain, family }: Pick<Ruleset, "chain" | "family">,
  elements: readonly string[],
  exists: boolean,
): string {
  const name = setName({ chain, family });
  const target = exists ? freshSetName(name) : name;
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
  const cidr = parseCidr(address.includes("/") ? address : `${address}/128`);
  return isCidr(cidr) ? [formatElement(cidr), ...rest].join(" ") : element;
}

/** Whether two lists of elements are one set; order means nothing to a hash. */
export function sameElements(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const elements = new Set(a);
  return b.every((element) => elements.has(element));
}

function keepFirst(
  verdicts: Map<string, Entry["verdict"]>,
  element: string,
  verdict: Entry["verdict"],
): void {
  if (!verdicts.has(element)) verdicts.set(element, verdict);
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

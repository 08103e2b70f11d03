/** What addresses an ipset has, from its listing. */
import { ADDRESS_BITS, type Family, isCidr, parseCidr } from "../core/cidr.ts";
import { type Interval, longestPrefixIntervals, type WeighedPrefix } from "../core/intervals.ts";

/** What an ipset holds. */
export interface SetContent {
  readonly family: Family;
  /** The addresses at each place of its elements, `IP,PORT,IP`; undefined where no addresses are, but ports, links or marks. */
  readonly places: readonly (readonly Interval[] | undefined)[];
}

/** What `ipset save NAME` shows; undefined for a type of set whose elements have no addresses. */
export function readSet(listing: string): SetContent | undefined {
  const [, type, words] = /^create \S+ hash:([a-z,]+) family (inet6?)/m.exec(listing) ?? [];
  const kinds = type?.split(",") ?? [];
  if (!kinds.some(isAddress)) return undefined;
  const family = words === "inet6" ? "IPv6" : "IPv4";
  const choices: readonly WeighedPrefix[][] = kinds.map(() => []);
  for (const line of listing.split("\n")) {
    const [verb, , element = "", ...options] = line.split(" ");
    if (verb !== "add") continue;
    const parts = element.split(",");
    // `nomatch` ends the search with no; the kernel looks for the longest prefix first.
    const included = !options.includes("nomatch");
    // Of several places, each may still occur in another element.
    if (!included && kinds.length > 1) continue;
    for (const [at, kind] of kinds.entries()) {
      if (!isAddress(kind)) continue;
      const part = parts[at] ?? "";
      const cidr = parseCidr(part.includes("/") ? part : `${part}/${ADDRESS_BITS[family]}`);
      if (!isCidr(cidr) || cidr.family !== family) return undefined;
      choices[at]?.push({ cidr, included });
    }
  }
  const places = kinds.map((kind, at) =>
    isAddress(kind) ? longestPrefixIntervals(choices[at] ?? []) : undefined,
  );
  return { family, places };
}

function isAddress(kind: string): boolean {
  return kind === "ip" || kind === "net";
}

/** The parts of a listing of several sets, by the sets' names. */
export function splitSets(listing: string): ReadonlyMap<string, string> {
  const lines = new Map<string, string[]>();
  for (const line of listing.split("\n")) {
    const name = line.split(" ")[1];
    if (name === undefined) continue;
    const own = lines.get(name) ?? [];
    own.push(line);
    lines.set(name, own);
  }
  return new Map([...lines].map(([name, own]) => [name, own.join("\n")]));
}

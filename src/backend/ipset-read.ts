/** What addresses an ipset has, from its listing. */
import { ADDRESS_BITS, type Family, isCidr, parseCidr } from "../core/cidr.ts";
import { type Choice, type Interval, longestPrefixIntervals } from "../core/intervals.ts";

/** The addresses that `ipset save NAME` shows; undefined for a type of set whose elements are no addresses. */
export function readSet(
  listing: string,
): { readonly family: Family; readonly intervals: readonly Interval[] } | undefined {
  const [, type, words] = /^create \S+ hash:(net|ip) family (inet6?)/m.exec(listing) ?? [];
  if (type === undefined) return undefined;
  const family = words === "inet6" ? "IPv6" : "IPv4";
  const choices: Choice[] = [];
  for (const line of listing.split("\n")) {
    const [verb, , element = "", ...options] = line.split(" ");
    if (verb !== "add") continue;
    const cidr = parseCidr(element.includes("/") ? element : `${element}/${ADDRESS_BITS[family]}`);
    if (!isCidr(cidr) || cidr.family !== family) return undefined;
    // `nomatch` ends the search with no; the kernel looks for the longest prefix first.
    choices.push({ cidr, included: !options.includes("nomatch") });
  }
  return { family, intervals: longestPrefixIntervals(choices) };
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

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

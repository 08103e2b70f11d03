/**
 * Addresses with a special meaning, from IANA's registries of special-purpose addresses, and their treatment by
 * default.
 */
import { type Cidr, constantCidr, type Family } from "./cidr.ts";
import type { ConfigOptions } from "./config-options.ts";

/** A block, its name for people, and whether its destinations keep the pod's address by default. */
export interface SpecialRange {
  readonly text: string;
  readonly name: string;
  /** `reserved`: only with `--nomasq-all-reserved-ranges`. */
  readonly kept?: "always" | "reserved";
}

/** In address order. */
export const SPECIAL_RANGES: readonly SpecialRange[] = [
  { text: "0.0.0.0/0", name: "every IPv4 address" },
  { text: "0.0.0.0/8", name: "this network" },
  { text: "10.0.0.0/8", name: "private", kept: "always" },
  { text: "100.64.0.0/10", name: "shared by carriers", kept: "reserved" },
  { text: "127.0.0.0/8", name: "loopback" },
  { text: "169.254.0.0/16", name: "link-local" },
  { text: "172.16.0.0/12", name: "private", kept: "always" },
  { text: "192.0.0.0/24", name: "protocol assignments", kept: "reserved" },
  { text: "192.0.2.0/24", name: "documentation", kept: "reserved" },
  { text: "192.88.99.0/24", name: "6to4 relays", kept: "reserved" },
  { text: "192.168.0.0/16", name: "private", kept: "always" },
  { text: "198.18.0.0/15", name: "benchmarking", kept: "reserved" },
  { text: "198.51.100.0/24", name: "documentation", kept: "reserved" },
  { text: "203.0.113.0/24", name: "documentation", kept: "reserved" },
  { text: "224.0.0.0/4", name: "multicast" },
  { text: "240.0.0.0/4", name: "reserved", kept: "reserved" },
  { text: "::/0", name: "every IPv6 address" },
  { text: "64:ff9b::/96", name: "IPv4 behind NAT64" },
  { text: "2000::/3", name: "global unicast" },
  { text: "2001:db8::/32", name: "documentation" },
  { text: "fc00::/7", name: "unique local" },
  { text: "fe80::/10", name: "link-local" },
  { text: "ff00::/8", name: "multicast" },
];

/** RFC 3927, and RFC 4291, section 2.4. */
export const LINK_LOCAL: Readonly<Record<Family, Cidr>> = {
  IPv4: constantCidr("169.254.0.0/16"),
  IPv6: constantCidr("fe80::/10"),
};

/** The destinations that keep the pod's address where no configuration gives any, in the Go program's order. */
export function defaultCidrs({
  noMasqAllReservedRanges,
}: Pick<ConfigOptions, "noMasqAllReservedRanges">): readonly string[] {
  const kept = noMasqAllReservedRanges ? (["always", "reserved"] as const) : (["always"] as const);
  return kept.flatMap((when) => SPECIAL_RANGES.flatMap(({ text, kept }) => (kept === when ? text : [])));
}

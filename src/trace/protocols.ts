/** Protocols over IP by their names and numbers, as iptables and nft say them. */

/** By number; a name that the tools write in another way is an alias. */
const NAMES: Readonly<Record<string, string>> = {
  "1": "icmp",
  "2": "igmp",
  "4": "ipencap",
  "6": "tcp",
  "17": "udp",
  "33": "dccp",
  "41": "ipv6",
  "47": "gre",
  "50": "esp",
  "51": "ah",
  "58": "icmpv6",
  "89": "ospf",
  "103": "pim",
  "112": "vrrp",
  "132": "sctp",
  "136": "udplite",
};
const ALIASES: Readonly<Record<string, string>> = { "ipv6-icmp": "icmpv6", icmp6: "icmpv6", ipip: "ipencap" };

/** The protocols that have names. */
export const PROTOCOLS: readonly string[] = Object.values(NAMES);

const WITH_PORTS = ["tcp", "udp", "sctp", "dccp", "udplite"];

/** The one name for a protocol, whatever a tool or a person writes for it. */
export function protocolName(text: string): string {
  return NAMES[text] ?? ALIASES[text] ?? text;
}

/** The number of a protocol with a name. */
export function protocolNumber(name: string): number | undefined {
  const number = Number(Object.keys(NAMES).find((key) => NAMES[key] === name) ?? name);
  return Number.isInteger(number) ? number : undefined;
}

/** Whether packets of the protocol have a source port and a destination port. */
export function hasPorts(protocol: string): boolean {
  return WITH_PORTS.includes(protocol);
}

/** The addresses of this machine, and those of a saved node. */

import { networkInterfaces } from "node:os";
import { type Cidr, type Family, isCidr, parseCidr } from "../core/cidr.ts";
import { type LocalAddresses, longestPrefixIntervals } from "../core/intervals.ts";

/** This machine's own addresses. */
export function ownAddresses(): LocalAddresses {
  return localAddresses(ownAddressTexts());
}

/** The same as texts. One of the node's addresses may also be on loopback, for instance where routers announce it. */
export function ownAddressTexts(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.map(({ address }) => address),
  );
}

/** The addresses of this machine's interfaces with their networks, without loopback. */
export function ownNetworks(): readonly {
  readonly device: string;
  readonly address: string;
  readonly cidr: Cidr;
}[] {
  return Object.entries(networkInterfaces()).flatMap(([device, addresses = []]) =>
    addresses.flatMap(({ address, cidr, internal }) => {
      const network = internal || cidr === null ? undefined : networkOf(cidr);
      return network === undefined ? [] : [{ device, address, cidr: network }];
    }),
  );
}

function networkOf(text: string): Cidr | undefined {
  const cidr = parseCidr(text);
  if (isCidr(cidr)) return cidr;
  const network = cidr.reason === "unaligned" ? parseCidr(cidr.network) : undefined;
  return network !== undefined && isCidr(network) ? network : undefined;
}

/** These addresses, and loopback's, which every node has. */
export function localAddresses(addresses: readonly string[]): LocalAddresses {
  const texts = [
    "127.0.0.0/8",
    "::1/128",
    ...addresses.map((text) => `${text}/${text.includes(":") ? 128 : 32}`),
  ];
  const choices = texts
    .map(parseCidr)
    .filter(isCidr)
    .map((cidr) => ({ cidr, included: true }));
  const ofFamily = (family: Family) =>
    longestPrefixIntervals(choices.filter(({ cidr }) => cidr.family === family));
  return { IPv4: ofFamily("IPv4"), IPv6: ofFamily("IPv6") };
}

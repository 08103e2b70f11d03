/**
 * This node's addresses as the kernel lists them, with those that packets may leave with: over rtnetlink or, without the addon, as
 * Node lists them, which tells nothing of an IPv6 address's state.
 */
import { networkInterfaces } from "node:os";
import { FAMILY_NAMES, type Family, NFT_FAMILIES, parseAddress } from "../core/cidr.ts";
import type { NodeAddresses } from "../core/ruleset.ts";
import { IFA_F, SCOPE_UNIVERSE } from "../netlink/constants.ts";
import { NetlinkUnavailable } from "../netlink/errors.ts";
import { type ObservedAddress, openRtnetlink, readAddresses, readLinks } from "../route/rtnetlink.ts";
import { isUsable } from "../route/usable.ts";

type Observed = Pick<ObservedAddress, "family" | "address" | "link" | "scope" | "flags">;

export interface ListedAddresses {
  /** All of them, on any link and in any state. */
  readonly all: Readonly<Record<Family, ReadonlySet<bigint>>>;
  /** Those that packets may leave with: the link's index by address. */
  readonly usable: Readonly<Record<Family, ReadonlyMap<bigint, number>>>;
  /** False without the addon: then no IPv6 address counts as usable. */
  readonly isWhole: boolean;
}

/** Throws an `NftablesError`. */
export async function readNodeAddresses(): Promise<ListedAddresses> {
  try {
    return listedAddresses(await overRtnetlink(readAddresses), true);
  } catch (error) {
    if (!(error instanceof NetlinkUnavailable)) throw error;
    return listedAddresses(fromNode(), false);
  }
}

/** Those that packets may leave with, for rules on this node. Throws an `NftablesError`. */
export async function usableAddresses(): Promise<NodeAddresses> {
  const { usable } = await readNodeAddresses();
  return { IPv4: [...usable.IPv4.keys()], IPv6: [...usable.IPv6.keys()] };
}

/** The names of links, by the same indexes. Throws an `NftablesError`. */
export async function readLinkNames(): Promise<ReadonlyMap<number, string>> {
  try {
    const { links } = await overRtnetlink(readLinks);
    return new Map(links.map(({ index, name }) => [index, name]));
  } catch (error) {
    if (!(error instanceof NetlinkUnavailable)) throw error;
    return new Map(Object.keys(networkInterfaces()).entries());
  }
}

/** The same by family; pure. */
export function listedAddresses(observed: readonly Observed[], isWhole: boolean): ListedAddresses {
  const of = (family: Family) => observed.filter((one) => FAMILY_NAMES[one.family] === family);
  const all = (family: Family) => new Set(of(family).map(({ address }) => address));
  const usable = (family: Family) =>
    new Map(
      of(family)
        .filter(isUsable)
        .map(({ address, link }) => [address, link]),
    );
  return {
    all: { IPv4: all("IPv4"), IPv6: all("IPv6") },
    usable: { IPv4: usable("IPv4"), IPv6: usable("IPv6") },
    isWhole,
  };
}

async function overRtnetlink<T>(read: (channel: ReturnType<typeof openRtnetlink>) => Promise<T>): Promise<T> {
  const channel = openRtnetlink();
  try {
    return await read(channel);
  } finally {
    channel.close();
  }
}

/** As Node lists them: a link that is down has none, and there is neither scope nor state. */
function fromNode(): Observed[] {
  return Object.values(networkInterfaces()).flatMap((addresses = [], link) =>
    addresses.flatMap(({ address: text, internal }): Observed[] => {
      const { family, value } = parseAddress(text) ?? {};
      if (family === undefined || value === undefined) return [];
      // An IPv6 address may be tentative: it is not used.
      const flags = family === "IPv4" ? 0 : IFA_F.TENTATIVE;
      const scope = internal && value >> 24n === 127n ? HOST : SCOPE_UNIVERSE;
      return [{ family: NFT_FAMILIES[family], address: value, link, scope, flags }];
    }),
  );
}

/** RT_SCOPE_HOST. */
const HOST = 254;

/** Finds chains of an agent without a tool. */

import type { Traces } from "../backend/driver.ts";
import { FAMILIES, NFT_FAMILIES } from "../core/cidr.ts";
import { ifFound } from "../netlink/errors.ts";
import { chain as chainQuery } from "../netlink/query.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { NamedVariant } from "./tools.ts";

/** Netlink shows chains of the nf_tables variant; only a tool shows those in legacy tables. */
export const chainTraces: Traces = {
  async seen(nftables, chain, signal) {
    const places: string[] = [];
    for (const family of Object.values(NFT_FAMILIES)) {
      const found = await ifFound(nftables.read(chainQuery({ family, table: "nat", chain }), signal));
      if (found !== undefined) places.push(`chain ${chain} of table ${family} nat`);
    }
    return places;
  },
  mayBeHidden: () => FAMILIES.some(hasLegacyNat),
};

/**
 * The variants that may have a chain of this name. It uses netlink, so that an agent on nftables runs a tool only where
 * that has work to do.
 */
export async function variantsWith(chain: string, open: () => Promise<Nftables>): Promise<NamedVariant[]> {
  const traces = await connected(open, (nftables) => chainTraces.seen(nftables, chain));
  return [
    ...(traces.length > 0 ? (["nft"] as const) : []),
    ...(chainTraces.mayBeHidden() ? (["legacy"] as const) : []),
  ];
}

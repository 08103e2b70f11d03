/**
 * Moving between backends: new rules first, then the old ones away. Both give the same verdicts while both stand,
 * so that no packet is treated wrongly in between; a move that was cut short is finished at the next start.
 */

import type { Driver } from "../backend/driver.ts";
import { FAMILIES } from "../core/cidr.ts";
import type { IptablesVariant } from "../iptables/tools.ts";
import type { Logger } from "../log/log.ts";
import { ifFound, isUnsupported } from "../netlink/errors.ts";
import { chain as chainQuery } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";

/**
 * The variants in which a chain of this name may stand. Asked over netlink, so that an agent on nftables runs no
 * tool unless there is something for it to do.
 */
export async function variantsWith(chain: string, open: () => Promise<Nftables>): Promise<IptablesVariant[]> {
  const nftables = await open();
  try {
    const inNft = (await exists(nftables, "ip", chain)) || (await exists(nftables, "ip6", chain));
    const inLegacy = FAMILIES.some(hasLegacyNat);
    return [...(inNft ? (["nft"] as const) : []), ...(inLegacy ? (["legacy"] as const) : [])];
  } finally {
    nftables.close();
  }
}

async function exists(nftables: Nftables, family: "ip" | "ip6", chain: string): Promise<boolean> {
  return (await ifFound(nftables.read(chainQuery({ family, table: "nat", chain })))) !== undefined;
}

/** Removes what is not used any more. Throws a failure, and leaves the rest for the next time. */
export async function removeOthers(others: () => Promise<readonly Driver[]>, log: Logger): Promise<void> {
  for (const driver of await others()) {
    try {
      for (const place of await driver.remove())
        log.info(`removed what an agent with another backend had left: ${place}`);
    } catch (error) {
      // Where nf_tables cannot be spoken to, there never was a table of ours.
      if (!isUnsupported(error)) throw error;
    } finally {
      driver.close();
    }
  }
}

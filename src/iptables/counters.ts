/** Reads the counters of our chain over netlink. */

import { sumVerdicts, type VerdictCount } from "../backend/verdict-counters.ts";
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

/** The counters of our iptables-nft chain. */
export async function countChain(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<VerdictCount[]> {
  const nat = { family: NFT_FAMILIES[family], table: "nat" };
  const all = await nftables.read(rules({ ...nat, chain }), signal);
  return sumVerdicts(all.map((rule) => ({ rule, family })));
}

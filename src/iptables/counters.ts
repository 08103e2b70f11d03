/** What our chain has counted, read over netlink. */

import { sumVerdicts, type VerdictCount } from "../backend/verdict-counters.ts";
import type { Family } from "../core/cidr.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

/** The counts of our chain of iptables-nft. */
export async function countChain(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<VerdictCount[]> {
  const nat = { family: family === "IPv4" ? "ip" : "ip6", table: "nat" } as const;
  const all = await nftables.read(rules({ ...nat, chain }), signal);
  return sumVerdicts(all.map((rule) => ({ rule, family })));
}

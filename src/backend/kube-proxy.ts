/** kube-proxy's traces on this node. */

import { NFT_FAMILIES } from "../core/cidr.ts";
import { ifFound } from "../netlink/errors.ts";
import { chain, tables } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

/** Whether kube-proxy's own table exists, and no chain of its iptables mode: that mode's chains outlive it, the table does not. */
export async function usesNftables(nftables: Nftables): Promise<boolean> {
  const all = await nftables.read(tables());
  if (!all.some(({ table }) => table === "kube-proxy")) return false;
  for (const family of Object.values(NFT_FAMILIES)) {
    const services = { family, table: "nat", chain: "KUBE-SERVICES" };
    if ((await ifFound(nftables.read(chain(services)))) !== undefined) return false;
  }
  return true;
}

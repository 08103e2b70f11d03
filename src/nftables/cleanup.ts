/** Our nftables table, for the command `cleanup`. */

import type { CleanupWorld, Finds, Search } from "../backend/cleanup.ts";
import { ifFound, NetlinkUnavailable } from "../netlink/errors.ts";
import { connected } from "../netlink/socket/transport.ts";
import { isAgentTable, isOwnTable } from "./plan.ts";
import { TABLE } from "./sets.ts";
import { readOwnTable } from "./table-reader.ts";

const PLACE = `table inet ${TABLE.table}`;

/** The table, if it is the agent's. */
export async function findTable({ options, world, nftables }: Search): Promise<Finds> {
  if (nftables === undefined) return { finds: [], warnings: [] };
  if (nftables instanceof NetlinkUnavailable)
    return { finds: [], warnings: [`${PLACE} stays if it exists: ${nftables.message}`] };
  const found = await readOwnTable(nftables);
  if (found === undefined) return { finds: [], warnings: [] };
  if (options.allChains ? isAgentTable(found) : isOwnTable(found, options.masqChain))
    return { finds: [{ place: PLACE, remove: () => removeTable(world) }], warnings: [] };
  const whose = found.comment === undefined ? "it has no comment" : `its comment is "${found.comment}"`;
  const remedy = isAgentTable(found) ? ": --all-chains removes it" : "";
  const why = `${whose}, so it does not belong to an agent with --masq-chain=${options.masqChain}${remedy}`;
  return { finds: [], warnings: [`${PLACE} stays: ${why}`] };
}

async function removeTable({ open }: CleanupWorld): Promise<void> {
  await connected(open, (nftables) => ifFound(nftables.batch([{ op: "delete table", ...TABLE }])));
}

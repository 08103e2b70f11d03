/** Reads the counters of our rules over netlink. NAT rules see only the first packet of a connection, so they count connections. */

import { sumVerdicts, type VerdictCount } from "../backend/verdict-counters.ts";
import { FAMILY_NAMES } from "../core/cidr.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CHAIN, RULES_READ } from "./sets.ts";

/** The counters of our nftables table: both families share its chain. Packets to the node itself count for neither. */
export async function countTable(nftables: Nftables, signal: AbortSignal): Promise<VerdictCount[]> {
  const all = await nftables.read(rules(CHAIN, RULES_READ), signal);
  return sumVerdicts(
    all.map((rule) => {
      const match = rule.statements.find((one) => one.kind === "daddr" || one.kind === "nfproto");
      return match === undefined || !("family" in match)
        ? undefined
        : { rule, family: FAMILY_NAMES[match.family] };
    }),
  );
}

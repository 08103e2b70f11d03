/** Reads the counters of our rules over netlink. NAT rules see only the first packet of a connection, so they count connections. */

import { countOf, sumVerdicts, type VerdictCount } from "../backend/verdict-counters.ts";
import { FAMILY_NAMES } from "../core/cidr.ts";
import type { ObservedRule } from "../netlink/operations.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CHAIN, RULES_READ } from "./sets.ts";

/** The counters of our nftables table: both families share its chain. Packets to the node itself count for neither. */
export async function countTable(nftables: Nftables, signal: AbortSignal): Promise<VerdictCount[]> {
  const all = await nftables.read(rules(CHAIN, RULES_READ), signal);
  return sumVerdicts(all.map(countOfRule));
}

/** A rule that returns without a look at the destination is about packets that are not ours: by their source, or their link. */
export function countOfRule(rule: ObservedRule): VerdictCount | undefined {
  const { statements } = rule;
  const match = statements.find((one) => "family" in one);
  if (match === undefined || !("family" in match)) return undefined;
  const returns = statements.some((one) => one.kind === "verdict" && one.verdict === "return");
  const isOther = returns && !statements.some(({ kind }) => kind === "daddr");
  return countOf(rule, FAMILY_NAMES[match.family], isOther ? "other" : undefined);
}

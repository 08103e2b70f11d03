/** What our rules have counted, read over netlink. NAT rules see the first packet of a connection, so connections are counted. */

import type { VerdictCount } from "../backend/verdict-counters.ts";
import type { Family } from "../core/cidr.ts";
import type { ObservedRule } from "../netlink/operations.ts";
import { rules } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CHAIN, RULES_READ } from "./sets.ts";

const FAMILIES = { ip: "IPv4", ip6: "IPv6" } as const;

/** The counts of our nftables table: both families share its chain. What goes to the node itself is neither. */
export async function countTable(nftables: Nftables, signal: AbortSignal): Promise<VerdictCount[]> {
  const all = await nftables.read(rules(CHAIN, RULES_READ), signal);
  return sum(
    all.map((rule) => {
      const match = rule.statements.find((one) => one.kind === "daddr" || one.kind === "nfproto");
      return match === undefined || !("family" in match)
        ? undefined
        : { rule, family: FAMILIES[match.family] };
    }),
  );
}

/** The counts of our chain of iptables-nft. */
export async function countChain(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<VerdictCount[]> {
  const nat = { family: family === "IPv4" ? "ip" : "ip6", table: "nat" } as const;
  const all = await nftables.read(rules({ ...nat, chain }), signal);
  return sum(all.map((rule) => ({ rule, family })));
}

function sum(counted: readonly ({ rule: ObservedRule; family: Family } | undefined)[]): VerdictCount[] {
  const totals = new Map<string, VerdictCount>();
  for (const { rule, family } of counted.filter((one) => one !== undefined)) {
    const counter = rule.statements.find((one) => one.kind === "counter");
    if (counter === undefined) continue;
    const keeps = rule.statements.some((one) => one.kind === "verdict" && one.verdict === "return");
    const verdict = keeps ? "keep" : "masquerade";
    const before = totals.get(`${family} ${verdict}`) ?? { family, verdict, packets: 0, bytes: 0 };
    const packets = before.packets + Number(counter.packets ?? 0);
    totals.set(`${family} ${verdict}`, {
      ...before,
      packets,
      bytes: before.bytes + Number(counter.bytes ?? 0),
    });
  }
  return [...totals.values()];
}

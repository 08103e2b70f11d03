/** The backend nftables for `doctor`: whether our table is there and decides. */

import { PRIORITY } from "../../nftables/plan.ts";
import { known } from "../../system/fact.ts";
import { counted } from "../../text/plural.ts";
import { numbers } from "../check-node.ts";
import { askAgent, CLEANUP } from "../check-own.ts";
import type { Facts, OwnSide } from "../facts.ts";
import { error, type FindingText, info, warning } from "../finding.ts";

/** What one interval of a set takes of a transaction, as measured: 212,992 bytes carry about 10,500. */
const BYTES_PER_INTERVAL = 20;

export const nftablesSide: OwnSide = {
  name: "nftables",
  label: () => "nftables",
  isInNatTable: false,
  priority: PRIORITY,
  tables: () => [],
  checks: { "own-table": ownTable, buffers },
  left: leftTable,
};

/** The nftables table, if that is where the rules should be. */
function ownTable(facts: Facts): readonly FindingText[] {
  const { settings } = facts;
  const found = known(facts.nftables);
  if (found === undefined) return [];
  const { own } = found;
  const where = "table inet ip-masq-agent";
  if (own === undefined) return [error(`no ${where}: the agent's rules are not in force`, askAgent(facts))];
  const wanted = `ip-masq-agent chain=${settings.chain}`;
  if (own.comment !== wanted) {
    const whose = own.comment === undefined ? "no comment" : `the comment "${own.comment}"`;
    const remedy =
      "remove it (nft delete table inet ip-masq-agent), or the agent that made it, or set --masq-chain";
    return [error(`${where} has ${whose} and not "${wanted}": the agent never touches it`, remedy)];
  }
  if (own.dormant) return [error(`${where} is dormant: its rules do nothing`, askAgent(facts))];
  if (own.masquerades) return [];
  const how = own.rules === 0 ? "has no rules" : "does not end with masquerade";
  return [error(`${where} ${how}: the rest is not masqueraded`, askAgent(facts))];
}

function leftTable({ nftables }: Facts): readonly FindingText[] {
  const own = known(nftables)?.own;
  if (own === undefined) return [];
  const what =
    own.rules === 0
      ? "has no rules, and is left by an agent"
      : "stands beside the iptables rules and decides too";
  return [warning(`table inet ip-masq-agent ${what}`, CLEANUP)];
}

/** A socket's buffers bound what one nf_tables transaction can hold. */
function buffers({ sysctls, config }: Facts): readonly FindingText[] {
  const entries = known(config)?.entries ?? 0;
  return (["net.core.wmem_max", "net.core.rmem_max"] as const).flatMap((name) => {
    const [bytes] = numbers(known(sysctls[name]));
    if (bytes === undefined) return [];
    const holds = Number(bytes) / BYTES_PER_INTERVAL;
    if (entries <= holds) return [];
    return info(
      `${name} is ${bytes}: a change of the whole list (${counted(entries, "CIDR")}) does not fit one transaction, and takes a second set`,
      `sysctl -w ${name}=${Math.ceil(entries / 10_000) * 262_144}`,
    );
  });
}

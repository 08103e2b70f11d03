/** The backend nftables for `doctor`. */

import { sumPackets } from "../../backend/verdict-counters.ts";
import { countTable } from "../../nftables/counters.ts";
import { PRIORITY } from "../../nftables/plan.ts";
import { known } from "../../system/fact.ts";
import { clearAway } from "../agent-advice.ts";
import { buffers } from "../checks/ours/buffers.ts";
import { ownTable } from "../checks/ours/own-table.ts";
import type { Facts, OwnSide } from "../facts.ts";
import { type FindingText, warning } from "../finding.ts";

export const nftablesSide: OwnSide = {
  name: "nftables",
  label: () => "nftables",
  isInNatTable: false,
  priority: PRIORITY,
  tables: () => [],
  checks: [ownTable, buffers],
  count: async (nftables, { signal }) => sumPackets(await countTable(nftables, signal)),
  left: leftTable,
};

function leftTable(facts: Facts): readonly FindingText[] {
  const own = known(facts.nftables)?.own;
  if (own === undefined) return [];
  const what =
    own.rules === 0
      ? "has no rules: an agent has left it"
      : "exists beside the iptables rules and decides too";
  return [warning(`table inet ip-masq-agent ${what}`, clearAway(facts))];
}

import { known } from "../../../system/fact.ts";
import { askAgent } from "../../agent-advice.ts";
import type { Check } from "../../facts.ts";
import { error } from "../../finding.ts";

export const ownTable: Check = {
  name: "own-table",
  severity: "error",
  looksFor:
    "nftables: no table, one that another program made, a dormant one, one whose rules do not end with masquerade",
  remedy: "start the agent, or see what it logs",
  run(facts) {
    const found = known(facts.nftables);
    if (found === undefined) return [];
    const { own } = found;
    const where = "table inet ip-masq-agent";
    if (own === undefined) return [error(`no ${where}: the agent's rules are not in force`, askAgent(facts))];
    const wanted = `ip-masq-agent chain=${facts.settings.chain}`;
    if (own.comment !== wanted) {
      const whose = own.comment === undefined ? "no comment" : `the comment "${own.comment}"`;
      const remedy =
        "remove it (nft delete table inet ip-masq-agent), or the agent that made it, or set --masq-chain";
      return [error(`${where} has ${whose} and not "${wanted}": the agent never touches it`, remedy)];
    }
    if (own.dormant) return [error(`${where} is dormant: its rules do nothing`, askAgent(facts))];
    if (own.masquerades) return [];
    const how = own.rules === 0 ? "has no rules" : "does not end with masquerade";
    return [error(`${where} ${how}: other traffic is not masqueraded`, askAgent(facts))];
  },
};

import type { Check } from "../../facts.ts";
import { info, warning } from "../../finding.ts";
import { foreignRules, GKE_CHAIN } from "../../foreign-rules.ts";
import { enabledTables, inTable, jumpTargets, targetOf } from "../../nat-tables.ts";

/** There is nothing to delete: the platform makes its chain again, and an agent may use it. */
export const oldChain: Check = {
  name: "old-chain",
  severity: "warning",
  looksFor:
    "a chain IP-MASQ, as GKE and kube-up make one when a node starts, if it masquerades some of what the configuration keeps; otherwise info",
  remedy: "let the agent take it over with --masq-chain=IP-MASQ",
  run(facts) {
    if (facts.settings.chain === GKE_CHAIN) return [];
    return enabledTables(facts).flatMap((table) => {
      if (!table.chains.has(GKE_CHAIN) || jumpTargets(table).includes(GKE_CHAIN)) return [];
      const isUsed = [...table.chains.values()].flat().some((rule) => targetOf(rule) === GKE_CHAIN);
      const what = `${inTable(table)}: chain ${GKE_CHAIN}, which GKE and kube-up make when a node starts,`;
      if (!isUsed) return info(`${what} exists, and no rule leads to it`);
      const isHarmful = foreignRules(facts, "iptables").some(
        ({ by, hook }) => by.chain === GKE_CHAIN && hook === table.hook,
      );
      if (!isHarmful) return info(`${what} masquerades nothing that the configuration keeps`);
      return warning(
        `${what} masquerades some of what the configuration keeps`,
        `let the agent take it over with --masq-chain=${GKE_CHAIN}, or keep only what it keeps; do not delete it: the node makes it again`,
      );
    });
  },
};

import { isBuiltIn, isForeign, renderForeign } from "../../../iptables/chain-owner.ts";
import { askAgent } from "../../agent-advice.ts";
import type { Check, Facts, NatTable } from "../../facts.ts";
import { error, type FindingText, warning } from "../../finding.ts";
import { inTable, ownTables, postrouting } from "../../nat-tables.ts";

export const ownChain: Check = {
  name: "own-chain",
  severity: "error",
  looksFor:
    "iptables: no chain, a chain that does not end with MASQUERADE, no jump, no iptables at all; several jumps: warning",
  remedy: "start the agent, or see what it logs",
  run(facts) {
    if (facts.settings.variant === undefined)
      return [
        error(
          "the backend is iptables, and no iptables runs here",
          "install it, or see --iptables-mode and --backend",
        ),
      ];
    return ownTables(facts).flatMap((table) => lookAt(facts, table));
  },
};

function lookAt(facts: Facts, table: NatTable): readonly FindingText[] {
  const { chain } = facts.settings;
  const where = inTable(table);
  const rules = table.chains.get(chain);
  const jumps = postrouting(table).filter(({ target }) => target === chain).length;
  if (rules === undefined)
    return [error(`${where} has no chain ${chain}: the agent's rules are not in force`, askAgent(facts))];
  const foreign = isForeign(rules.map(({ comment }) => comment));
  if (isBuiltIn(chain) || (foreign && jumps === 0))
    return [error(renderForeign(chain, rules.length, table.tool), "the agent refuses to write there")];
  const last = rules.at(-1);
  const isWhole = last?.target === "MASQUERADE" && last.conditions.length === 0;
  const how = last === undefined ? "is empty" : `ends with "${last.text}"`;
  return [
    ...(jumps === 0
      ? [error(`${where}: POSTROUTING has no jump to ${chain}, so its rules never run`, askAgent(facts))]
      : []),
    ...(jumps > 1
      ? [
          warning(
            `${where}: ${jumps} jumps from POSTROUTING to ${chain}`,
            `delete all but one: ${where} -D POSTROUTING NUMBER`,
          ),
        ]
      : []),
    ...(isWhole
      ? []
      : [error(`${where}: chain ${chain} ${how}: other traffic is not masqueraded`, askAgent(facts))]),
  ];
}

import type { Family } from "../../../core/cidr.ts";
import { isBuiltIn, isForeign, renderForeign } from "../../../iptables/chain-owner.ts";
import { known } from "../../../system/fact.ts";
import type { TraceRule } from "../../../trace/model.ts";
import { askAgent } from "../../agent-advice.ts";
import type { Check, Facts, NatTable } from "../../facts.ts";
import { error, type FindingText, warning } from "../../finding.ts";
import {
  commentOf,
  inTable,
  lineOf,
  oddPostrouting,
  ownTables,
  postrouting,
  targetOf,
} from "../../nat-tables.ts";

export const ownChain: Check = {
  name: "own-chain",
  severity: "error",
  looksFor:
    "iptables: no chain, a chain that does not end with MASQUERADE (or SNAT, with outputAddresses), no jump, no iptables at all; several jumps: warning",
  remedy: "start the agent, or see what it logs",
  run(facts) {
    if (facts.settings.variant === undefined)
      return [
        error(
          "the backend is iptables, and no iptables runs here",
          "install it, or see --iptables-mode and --backend",
        ),
      ];
    // Without a POSTROUTING that iptables can use there can be no jump: the check incompatible-table says so.
    return ownTables(facts)
      .filter(({ family }) => oddPostrouting(facts, family) === undefined)
      .flatMap((table) => lookAt(facts, table));
  },
};

/** Whether a chain may end with a rule: SNAT where there are addresses, conditions on sources and links where there are keys. */
function isAsConfigured(facts: Facts, family: Family, { action, conditions }: TraceRule): boolean {
  const { rulesets } = known(facts.config) ?? {};
  const wanted = rulesets?.find((one) => one.family === family);
  // A bad configuration leaves the last good rules in force, which may be any of ours.
  if (wanted === undefined) return action.kind === "masquerade" || action.kind === "translate";
  const isTarget = action.kind === (wanted.masquerade.pool === undefined ? "masquerade" : "translate");
  return (
    isTarget &&
    (conditions.length === 0 || wanted.scope !== undefined || wanted.masquerade.pool !== undefined)
  );
}

function lookAt(facts: Facts, table: NatTable): readonly FindingText[] {
  const { chain } = facts.settings;
  const where = inTable(table);
  const rules = table.chains.get(chain);
  const jumps = postrouting(table).filter((rule) => targetOf(rule) === chain).length;
  if (rules === undefined)
    return [error(`${where} has no chain ${chain}: the agent's rules are not in force`, askAgent(facts))];
  const foreign = isForeign(rules.map(commentOf));
  if (isBuiltIn(chain) || (foreign && jumps === 0))
    return [error(renderForeign(chain, rules.length, table.tool), "the agent refuses to write there")];
  const last = rules.at(-1);
  const isWhole = last !== undefined && isAsConfigured(facts, table.family, last);
  const how = last === undefined ? "is empty" : `ends with "${lineOf(chain, last)}"`;
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

import type { Check, Facts, NatTable } from "../../facts.ts";
import type { FindingText } from "../../finding.ts";
import { foreignPasses, GKE_CHAIN, type Placed, tooMany, weigh } from "../../foreign-rules.ts";
import { enabledTables, inTable } from "../../nat-tables.ts";

export const foreignNat: Check = {
  name: "foreign-nat",
  severity: "error",
  looksFor:
    "iptables: other rules that set the source of pods' packets differently from the configuration, ahead of our jump or after it: error if one takes all traffic ahead of ours, info if no pods are known or it is only for link-local addresses, otherwise warning",
  remedy: "switch masquerading off where the rule is made, or narrow it",
  run: (facts) =>
    enabledTables(facts).flatMap((table) => {
      const passed = foreignPasses(facts, table).filter(({ rule }) => rule.chain !== GKE_CHAIN);
      return [...passed.map((one) => describe(facts, table, one)), ...tooMany(facts, table)];
    }),
};

function describe(facts: Facts, table: NatTable, one: Placed): FindingText {
  const { rule, from, place } = one;
  const via = rule === from ? "" : `, reached by "${from.text}"`;
  const { say, effect } = weigh(facts, table.family, one, place === "ahead of ours");
  return say(
    `${inTable(table)}: a third-party rule ${place} ${effect} regardless of the configuration: ${rule.text}${via}`,
    "find who made it (its comment, the CNI plugin, a firewall), and switch its masquerading off there or narrow it",
  );
}

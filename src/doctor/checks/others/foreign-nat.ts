import type { Check, Facts } from "../../facts.ts";
import { atMost, type FindingText } from "../../finding.ts";
import { foreignRules, GKE_CHAIN, placeOf, weigh } from "../../foreign-rules.ts";
import { makersRemedy } from "../../makers.ts";
import { lineOf } from "../../nat-tables.ts";
import type { Deviation } from "../../sweep.ts";

export const foreignNat: Check = {
  name: "foreign-nat",
  severity: "error",
  looksFor:
    "iptables: other rules that set the source of pods' packets differently from the configuration, ahead of our jump or after it: error if one takes all traffic ahead of ours, info if no pods are known or it is only for link-local addresses, otherwise warning",
  remedy: "switch masquerading off where the rule is made, or narrow it",
  run: (facts) =>
    atMost(
      foreignRules(facts, "iptables")
        .filter(({ by }) => by.chain !== GKE_CHAIN)
        .map((one) => describe(facts, one)),
    ),
};

function describe(facts: Facts, one: Deviation): FindingText {
  const { rule, from, by, hook } = one;
  const via = rule === from ? "" : `, reached by "${lineOf(hook.chain, from)}"`;
  const place = placeOf(facts, one);
  const { say, effect } = weigh(facts, one, place === "ahead of ours");
  return say(
    `${hook.place}: a third-party rule ${place} ${effect} regardless of the configuration: ${lineOf(by.chain, rule)}${via}`,
    makersRemedy(one) ??
      "find who made it (its comment, the CNI plugin, a firewall, grep -r MASQUERADE /etc), and switch its masquerading off there or narrow it",
  );
}

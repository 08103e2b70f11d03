import { known } from "../../../system/fact.ts";
import type { Check, Facts, HookChain } from "../../facts.ts";
import type { FindingText } from "../../finding.ts";
import { hookPasses, weigh } from "../../foreign-rules.ts";
import type { Passed } from "../../nat-walk.ts";

/** The first chain that sets the source wins, and after our return the next one decides. */
export const foreignChain: Check = {
  name: "foreign-chain",
  severity: "error",
  looksFor: "nftables: the same in other tables' nat chains at postrouting",
  remedy: "switch masquerading off where the chain is made, or narrow it",
  run(facts) {
    return facts.hooks
      .flatMap((fact) => known(fact) ?? [])
      .filter(({ family }) => facts.settings.families.includes(family))
      .flatMap((hook) => {
        const passed = hookPasses(facts, hook);
        const worst = passed.find(({ certain }) => certain) ?? passed[0];
        return worst === undefined ? [] : describe(facts, hook, worst);
      });
  },
};

function describe(facts: Facts, hook: HookChain, worst: Passed): FindingText {
  const after = hook.priority - facts.own.priority;
  // Of two with the same priority, the one that was registered later runs first, which is not visible.
  const where = after < 0 ? "before ours" : after === 0 ? "before or after ours" : "after ours has returned";
  const { say, effect } = weigh(facts, hook.family, worst, after <= 0);
  const table = hook.place.replace(/^table /, "");
  return say(
    `nftables: chain ${table} ${hook.chain} (priority ${hook.priority}) is evaluated ${where} and ${effect} (${hook.family}): ${worst.rule.text}`,
    `see: nft list table ${table}; switch it off where it is made, or narrow it`,
  );
}

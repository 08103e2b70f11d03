import type { Check, Facts } from "../../facts.ts";
import type { FindingText } from "../../finding.ts";
import { foreignRules, weigh } from "../../foreign-rules.ts";
import { makersRemedy } from "../../makers.ts";
import type { Deviation } from "../../sweep.ts";

/** The first chain that sets the source wins, and after our return the next one decides. */
export const foreignChain: Check = {
  name: "foreign-chain",
  severity: "error",
  looksFor: "nftables: the same in other tables' nat chains at postrouting",
  remedy: "switch masquerading off where the chain is made, or narrow it",
  run(facts) {
    const chains = new Map<string, Deviation[]>();
    for (const one of foreignRules(facts, "nftables")) {
      const key = `${one.family} ${one.hook.place} ${one.hook.chain}`;
      chains.set(key, [...(chains.get(key) ?? []), one]);
    }
    return [...chains.values()].flatMap((found) => {
      const [worst] = found.sort((a, b) => weight(b) - weight(a));
      return worst === undefined ? [] : describe(facts, worst);
    });
  },
};

/** A rule that decides for all packets says more than one that does for some, or may. */
function weight({ isForAll, isCertain }: Deviation): number {
  return Number(isForAll) + Number(isCertain);
}

function describe(facts: Facts, worst: Deviation): FindingText {
  const { hook, family, rule } = worst;
  const after = hook.priority - facts.own.priority;
  // Of two with the same priority, the one that was registered later runs first, which is not visible.
  const where = after < 0 ? "before ours" : after === 0 ? "before or after ours" : "after ours has returned";
  const { say, effect } = weigh(facts, worst, after <= 0);
  const table = hook.place.replace(/^table /, "");
  return say(
    `nftables: chain ${table} ${hook.chain} (priority ${hook.priority}) is evaluated ${where} and ${effect} (${family}): ${rule.text}`,
    makersRemedy(worst) ?? `see: nft list table ${table}; switch it off where it is made, or narrow it`,
  );
}

import { NFT_FAMILIES } from "../../../core/cidr.ts";
import { known } from "../../../system/fact.ts";
import type { Hook } from "../../../trace/model.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";
import { targetOf } from "../../nat-tables.ts";

/** Chains that iptables cannot list, since another program has put rules in its table that it does not know. */
export const incompatibleTable: Check = {
  name: "incompatible-table",
  severity: "warning",
  looksFor:
    "rules made with nft in iptables' own table nat, so that iptables cannot list it; the agent works all the same",
  remedy: "move those rules into a table of their own",
  run(facts) {
    const { chain } = facts.settings;
    return facts.incompatible.map((family) => {
      const table = `${NFT_FAMILIES[family]} nat`;
      const hook = known(facts.trace)?.hooks.find(
        (one) => one.isNat && one.hook === "postrouting" && one.place === `table ${table}`,
      );
      const state = facts.own.isInNatTable ? `; ${ownState(hook, chain)}` : "";
      return warning(
        `table ${table} has rules that were made with nft in iptables' own table, so that iptables cannot list it${state}`,
        `move those rules into a table of their own: nft -a list table ${table} shows them (those without "xt" or our comments)`,
      );
    });
  },
};

function ownState(hook: Hook | undefined, chain: string): string {
  if (hook === undefined)
    return "nft could not read it either: whether the agent's rules are in force is not known";
  const rules = hook.chains.get(chain) ?? [];
  const isLed = (hook.chains.get(hook.chain) ?? []).some((rule) => targetOf(rule) === chain);
  const isWhole = rules.at(-1)?.action.kind === "masquerade";
  if (isLed && isWhole) return `the agent's chain ${chain} and the jump to it exist and go on working`;
  return `chain ${chain} ${isWhole ? "has no jump to it" : "does not exist, or is not complete"}: the agent's rules are not in force`;
}

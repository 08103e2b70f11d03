import { NFT_FAMILIES } from "../../../core/cidr.ts";
import { known } from "../../../system/fact.ts";
import type { Hook } from "../../../trace/model.ts";
import type { Check } from "../../facts.ts";
import { error, type FindingText, info, warning } from "../../finding.ts";
import { oddPostrouting, targetOf } from "../../nat-tables.ts";

/** Chains that iptables cannot list, since another program has put rules in its table that it does not know. */
export const incompatibleTable: Check = {
  name: "incompatible-table",
  severity: "error",
  looksFor:
    "rules made with nft in iptables' own table nat, so that iptables cannot list it: warning, since the agent works all the same, and info with nftables; a chain POSTROUTING there that iptables cannot use: error",
  remedy: "move those rules into a table of their own",
  run(facts) {
    const { chain, families } = facts.settings;
    if (facts.own.isInNatTable) {
      const odd = families.flatMap((family) => oddFinding(oddPostrouting(facts, family), chain));
      if (odd.length > 0) return odd;
    }
    return facts.incompatible.map((family) => {
      const table = `${NFT_FAMILIES[family]} nat`;
      const hook = known(facts.trace)?.hooks.find(
        (one) => one.isNat && one.hook === "postrouting" && one.place === `table ${table}`,
      );
      const state = facts.own.isInNatTable ? `; ${ownState(hook, chain)}` : "";
      // Where the agent has a table of its own, only other programs are concerned.
      const say = facts.own.isInNatTable ? warning : info;
      return say(
        `table ${table} has rules that were made with nft in iptables' own table, so that iptables cannot list it${state}`,
        `move those rules into a table of their own: nft -a list table ${table} shows them (those without "xt" or our comments)`,
      );
    });
  },
};

function oddFinding(hook: Hook | undefined, chain: string): readonly FindingText[] {
  if (hook === undefined) return [];
  const { place, isNat, priority } = hook;
  const how = `${isNat ? "" : "type filter, "}priority ${priority}`;
  return [
    error(
      `${place} has a chain POSTROUTING that was made with nft (${how}): iptables cannot use it, so that there can be no jump to ${chain}`,
      `move it into a table of its own, or give it another name: nft list chain ${place.replace("table ", "")} POSTROUTING`,
    ),
  ];
}

function ownState(hook: Hook | undefined, chain: string): string {
  if (hook === undefined)
    return "nft could not read it either: whether the agent's rules are in force is not known";
  const rules = hook.chains.get(chain) ?? [];
  const isLed = (hook.chains.get(hook.chain) ?? []).some((rule) => targetOf(rule) === chain);
  const isWhole = rules.at(-1)?.action.kind === "masquerade";
  if (isLed && isWhole) return `the agent's chain ${chain} and the jump to it exist and go on working`;
  return `chain ${chain} ${isWhole ? "has no jump to it" : "does not exist, or is not complete"}: the agent's rules are not in force`;
}

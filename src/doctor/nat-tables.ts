/** The nat tables of iptables. */

import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { tokenize } from "../iptables/rule.ts";
import { known } from "../system/fact.ts";
import { isIptables } from "../trace/iptables-save.ts";
import type { Hook, TraceRule } from "../trace/model.ts";
import type { Facts, NatTable } from "./facts.ts";

/** The comment of our jump, with the chain's name. */
const JUMP_COMMENT = /^ip-masq-agent: ensure nat POSTROUTING .* to our custom (\S+) chain$/;

/** The tables in which the agent should have its rules. */
export function ownTables(facts: Facts): readonly NatTable[] {
  return facts.own.tables(facts);
}

/** All tables that could be listed. */
export function natTables({ nat }: Pick<Facts, "nat">): readonly NatTable[] {
  return nat.flatMap((fact) => known(fact) ?? []);
}

/** Those of the families that are enabled. */
export function enabledTables(facts: Facts): readonly NatTable[] {
  return natTables(facts).filter(({ family }) => facts.settings.families.includes(family));
}

export function inTable({ tool }: NatTable): string {
  return `${tool} -t nat`;
}

/** The whole line of a rule, as `iptables -S` shows it. */
export function lineOf(chain: string, { text }: Pick<TraceRule, "text">): string {
  return `-A ${chain} ${text}`.trimEnd();
}

/** The comment of a rule; undefined if it has none. */
export function commentOf({ text }: Pick<TraceRule, "text">): string | undefined {
  const words = tokenize(text);
  const at = words.indexOf("--comment");
  return at < 0 ? undefined : words[at + 1];
}

/** The chain that a rule leads to. */
export function targetOf({ action }: Pick<TraceRule, "action">): string | undefined {
  return "chain" in action ? action.chain : undefined;
}

/** A chain POSTROUTING that was made with nft in iptables' own table, which iptables can neither show nor use. */
export function oddPostrouting({ trace, settings }: Facts, family: Family): Hook | undefined {
  if (settings.variant !== "nft") return undefined;
  return known(trace)?.hooks.find(
    (one) =>
      one.place === `table ${NFT_FAMILIES[family]} nat` &&
      one.chain === "POSTROUTING" &&
      !isIptables("nat", one),
  );
}

export function postrouting({ chains }: NatTable): readonly TraceRule[] {
  return chains.get("POSTROUTING") ?? [];
}

/** The chains that agents' jumps in a table lead to. */
export function jumpTargets(table: NatTable): readonly string[] {
  return postrouting(table).flatMap((rule) => {
    const target = targetOf(rule);
    return target !== undefined && JUMP_COMMENT.test(commentOf(rule) ?? "") ? target : [];
  });
}

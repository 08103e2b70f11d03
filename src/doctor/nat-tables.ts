/** The nat tables of iptables, and whose packets come to them. */

import type { Family } from "../core/cidr.ts";
import { known } from "../system/fact.ts";
import type { Facts, NatRule, NatTable } from "./facts.ts";
import type { Senders } from "./rule-scope.ts";

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

/** The command that deletes a rule. */
export function deletionOf(table: NatTable, { text }: NatRule): string {
  return `${inTable(table)} ${text.replace(/^-A/, "-D")}`;
}

/** Pods, as far as they are known. */
export function sendersOf({ links, podNetworks }: Facts, family: Family): Senders {
  const seen = known(links);
  const more = podNetworks.flatMap((fact) => known(fact) ?? []);
  if (seen === undefined && more.length === 0) return { family, pods: undefined };
  const pods = seen ?? { networks: [], others: [], own: [], uplinks: [], links: new Map() };
  return { family, pods: { ...pods, networks: [...pods.networks, ...more] } };
}

export function postrouting({ chains }: NatTable): readonly NatRule[] {
  return chains.get("POSTROUTING") ?? [];
}

/** The chains that agents' jumps in a table lead to. */
export function jumpTargets(table: NatTable): readonly string[] {
  return postrouting(table).flatMap(({ comment, target }) =>
    JUMP_COMMENT.test(comment ?? "") ? (target ?? []) : [],
  );
}

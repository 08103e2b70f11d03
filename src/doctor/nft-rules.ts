/** Rules of nftables in the words of iptables, in which `doctor` weighs rules of both. */
import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { Action, TraceRule } from "../trace/model.ts";
import type { NatRule } from "./facts.ts";
import { scopeOf } from "./model-scope.ts";

/** What actions are called there; others decide nothing about addresses or ways. */
const TARGETS: Readonly<Partial<Record<Action["kind"], string>>> = {
  accept: "ACCEPT",
  drop: "DROP",
  return: "RETURN",
  masquerade: "MASQUERADE",
  translate: "SNAT",
  untrack: "NOTRACK",
};

/** All chains of a table, as packets of one family pass them. */
export function hookChains(
  chains: ReadonlyMap<string, readonly TraceRule[]>,
  family: Family,
): ReadonlyMap<string, readonly NatRule[]> {
  return new Map(
    [...chains].map(([chain, rules]) => [chain, rules.map((rule) => ruleOf(chain, rule, family))]),
  );
}

/** The addresses that an action gives to packets as their source, if they are known. */
export function sourcesGiven(action: Action): readonly Interval[] | undefined {
  const targets = action.kind === "translate" ? action.targets : undefined;
  const addresses = targets?.flatMap((target) => target.addresses ?? []);
  return addresses?.length === targets?.length ? addresses : undefined;
}

/** One rule, or one way through it. */
export function ruleOf(
  chain: string,
  { text, conditions, action }: Pick<TraceRule, "text" | "conditions" | "action">,
  family: Family,
): NatRule {
  // What asks nothing of this family's packets, such as for the family, is no condition.
  const asked = conditions.filter((one) => one.kind !== "family" && !(one.kind === "local" && one.negated));
  const target = "chain" in action ? action.chain : TARGETS[action.kind];
  return {
    chain,
    text,
    comment: undefined,
    conditions: asked.map((one) => one.text),
    target,
    to: sourcesGiven(action),
    scope: scopeOf(conditions, family),
  };
}

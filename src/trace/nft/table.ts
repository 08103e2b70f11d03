/** Translates a table read over netlink, whichever program made it, into the tracer's model. */

import type { Family } from "../../core/cidr.ts";
import { SET_FLAGS } from "../../netlink/constants.ts";
import type { Expression } from "../../netlink/expression.ts";
import type { ObservedChain } from "../../netlink/operations.ts";
import type { RawElement, RawRule, RawSet } from "../../netlink/raw.ts";
import { type Hook, hookNamed, TABLE_FAMILIES, type TraceRule } from "../model.ts";
import { readMembers } from "./members.ts";
import type { Members } from "./reader.ts";
import { moduleOf, readRaw } from "./rule.ts";
import { isKnownMatch, isKnownTarget } from "./xt.ts";

/** The whole content of a table. */
export interface RawTable {
  readonly family: string;
  readonly table: string;
  readonly chains: readonly ObservedChain[];
  readonly rules: readonly RawRule[];
  readonly sets: readonly { readonly set: RawSet; readonly elements: readonly RawElement[] }[];
}

/** The base chains of a table that packets of pods pass. */
export function rawHooks({ family, table, chains, rules, sets }: RawTable): Hook[] {
  const families = TABLE_FAMILIES[family];
  if (families === undefined) return [];
  const members = membersOf(sets);
  const byChain = new Map<string, TraceRule[]>(chains.map(({ chain }) => [chain, []]));
  const counts = new Map<string, number>();
  const only = families.length === 1 ? families[0] : undefined;
  for (const rule of rules) {
    const number = (counts.get(rule.chain) ?? 0) + 1;
    counts.set(rule.chain, number);
    const { branches, text: asked } = readRaw(rule.expressions, only, members);
    const text = rule.comment === undefined ? asked : `${asked} comment "${rule.comment}"`;
    byChain.get(rule.chain)?.push(...branches.map((branch) => ({ number, text, ...branch })));
  }
  const hidden = rules.some(({ expressions }) => expressions.some((one) => isHidden(one, only)));
  return chains.flatMap(({ chain, base }) => {
    const hook = hookNamed(base?.hook);
    if (base === undefined || hook === undefined) return [];
    return [
      {
        hook,
        isNat: base.type === "nat",
        place: `table ${family} ${table}`,
        families,
        priority: base.priority,
        policy: base.policy === "drop" ? ("drop" as const) : ("accept" as const),
        chain,
        chains: byChain,
        ...(hidden ? { isHidden: true } : {}),
        // Which devices a chain of family netdev is for is not read.
        ...(family === "bridge" || family === "netdev" ? { isElsewhere: true as const } : {}),
      },
    ];
  });
}

function membersOf(sets: RawTable["sets"]): Members {
  const has = ({ flags }: RawSet, flag: keyof typeof SET_FLAGS) => (flags & SET_FLAGS[flag]) !== 0;
  // Elements that packets add may have changed when a packet comes.
  const stable = sets.filter(({ set }) => !has(set, "dynamic"));
  return {
    lists: new Map(
      stable.map(({ set, elements }) => [set.name, readMembers(elements, has(set, "interval"))]),
    ),
    expiring: new Set(stable.flatMap(({ set }) => (has(set, "timeout") ? set.name : []))),
  };
}

function isHidden({ name, attributes }: Expression, family: Family | undefined): boolean {
  if (name !== "match" && name !== "target") return false;
  const module = moduleOf(name, attributes);
  return name === "match" ? !isKnownMatch(module) : !isKnownTarget(module, family);
}

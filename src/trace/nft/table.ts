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
export function rawHooks({ rules, ...table }: RawTable): Hook[] {
  const { add, value } = collectHooks(table);
  for (const rule of rules) add(rule);
  return value();
}

/** Takes rules one after the other, so that none is kept as the kernel sends it, which takes several times the memory. */
export function collectHooks({ family, table, chains, sets }: Omit<RawTable, "rules">) {
  const families = TABLE_FAMILIES[family] ?? [];
  const members = membersOf(sets);
  const byChain = new Map<string, TraceRule[]>(chains.map(({ chain }) => [chain, []]));
  const counts = new Map<string, number>();
  const only = families.length === 1 ? families[0] : undefined;
  let hidden = false;
  const add = (rule: RawRule): void => {
    const number = (counts.get(rule.chain) ?? 0) + 1;
    counts.set(rule.chain, number);
    const { branches, text: asked } = readRaw(rule.expressions, only, members);
    const text = rule.comment === undefined ? asked : `${asked} comment "${rule.comment}"`;
    byChain.get(rule.chain)?.push(...branches.map((branch) => ({ number, text, ...branch })));
    hidden ||= rule.expressions.some((one) => isHidden(one, only));
  };
  const hooksOf = ({ chain, base }: ObservedChain): Hook[] => {
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
  };
  return { add, value: () => (families.length === 0 ? [] : chains.flatMap(hooksOf)) };
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

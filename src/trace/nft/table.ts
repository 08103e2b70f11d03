/** A table as read over netlink, whoever made it, as the tracer's model. */

import { readString } from "../../netlink/attributes.ts";
import { EXPRESSION, SET_FLAGS } from "../../netlink/constants.ts";
import type { Expression } from "../../netlink/decode-rule.ts";
import type { ObservedChain } from "../../netlink/operations.ts";
import type { RawElement, RawRule, RawSet } from "../../netlink/raw.ts";
import { type Hook, hookNamed, TABLE_FAMILIES, type TraceRule } from "../model.ts";
import { isHiddenXt } from "./branch.ts";
import { readMembers } from "./members.ts";
import type { Members } from "./reader.ts";
import { readRaw } from "./rule.ts";

/** All that is in a table. */
export interface RawTable {
  readonly family: string;
  readonly table: string;
  readonly chains: readonly ObservedChain[];
  readonly rules: readonly RawRule[];
  readonly sets: readonly { readonly set: RawSet; readonly elements: readonly RawElement[] }[];
}

/** The base chains of a table that packets of pods come by. */
export function rawHooks({ family, table, chains, rules, sets }: RawTable): Hook[] {
  const families = TABLE_FAMILIES[family];
  if (families === undefined) return [];
  const members: Members = new Map(
    sets.map(({ set, elements }) => [
      set.name,
      readMembers(elements, (set.flags & SET_FLAGS.interval) !== 0),
    ]),
  );
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
  const hidden = rules.some(({ expressions }) => expressions.some(isHidden));
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
      },
    ];
  });
}

function isHidden({ name, attributes }: Expression): boolean {
  if (name !== "match" && name !== "target") return false;
  return isHiddenXt(name, readString(attributes.get(EXPRESSION[name].NAME)));
}

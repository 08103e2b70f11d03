/** Selects the rules of a chain to compare with a packet: of 10,000 rules for a Service each, those of its own destination. */
import type { Condition, TraceRule } from "./model.ts";

interface Placed {
  readonly at: number;
  readonly rule: TraceRule;
}

interface Index {
  /** Rules that any packet may match. */
  readonly others: readonly Placed[];
  /** Rules for single addresses, by them. */
  readonly byAddress: ReadonlyMap<bigint, readonly Placed[]>;
}

/** A chain with fewer rules is walked as it is. */
const MANY = 32;

const indexes = new WeakMap<readonly TraceRule[], Index>();

/** The rules of a chain that a packet to this destination may match, in their order; the rules left out certainly do not match. */
export function rulesFor(rules: readonly TraceRule[], destination: bigint): readonly TraceRule[] {
  if (rules.length < MANY) return rules;
  const index = indexes.get(rules) ?? createIndex(rules);
  indexes.set(rules, index);
  const own = index.byAddress.get(destination) ?? [];
  return [...index.others, ...own].sort((a, b) => a.at - b.at).map(({ rule }) => rule);
}

function createIndex(rules: readonly TraceRule[]): Index {
  const others: Placed[] = [];
  const byAddress = new Map<bigint, Placed[]>();
  for (const [at, rule] of rules.entries()) {
    const address = rule.conditions.map(onlyAddress).find((one) => one !== undefined);
    if (address === undefined) others.push({ at, rule });
    else byAddress.set(address, [...(byAddress.get(address) ?? []), { at, rule }]);
  }
  return { others, byAddress };
}

/** The one destination that a condition allows, if it is one. */
function onlyAddress(condition: Condition): bigint | undefined {
  if (condition.kind !== "address" || condition.negated || condition.side !== "destination") return undefined;
  const [interval, ...more] = condition.intervals;
  return interval?.first === interval?.last && more.length === 0 ? interval?.first : undefined;
}

/**
 * The rules to compare with a packet: those that it may come to from a base chain, and of 10,000 rules for a destination each, those
 * of its own. And where rules may answer differently than for the address before: addresses between two cuts have one answer.
 */
import type { Family } from "../core/cidr.ts";
import { everything, type Interval } from "../core/intervals.ts";
import type { Condition, Hook, Side, TraceRule } from "./model.ts";

interface Placed {
  readonly at: number;
  readonly rule: TraceRule;
}

interface Index {
  /** Rules that any packet may match. */
  readonly others: readonly Placed[];
  readonly otherRules: readonly TraceRule[];
  /** Rules for blocks of addresses: by the number of bits that are free in a block, and by the other bits. */
  readonly byBlock: ReadonlyMap<bigint, ReadonlyMap<bigint, readonly Placed[]>>;
}

/** A chain with fewer rules is walked as it is. */
const MANY = 32;

const indexes = new WeakMap<readonly TraceRule[], Index>();

/** The rules of a chain that a packet to this destination may match, in their order; undefined: any. The rules left out certainly do not match. */
export function rulesFor(rules: readonly TraceRule[], destination: bigint | undefined): readonly TraceRule[] {
  if (rules.length < MANY || destination === undefined) return rules;
  const index = indexes.get(rules) ?? createIndex(rules);
  indexes.set(rules, index);
  const own = [...index.byBlock].flatMap(([free, blocks]) => blocks.get(destination >> free) ?? []);
  if (own.length === 0) return index.otherRules;
  return [...index.others, ...own].sort((a, b) => a.at - b.at).map(({ rule }) => rule);
}

function createIndex(rules: readonly TraceRule[]): Index {
  const others: Placed[] = [];
  const byBlock = new Map<bigint, Map<bigint, Placed[]>>();
  for (const [at, rule] of rules.entries()) {
    const block = rule.conditions.map(onlyBlock).find((one) => one !== undefined);
    if (block === undefined) {
      others.push({ at, rule });
      continue;
    }
    const { free, bits } = block;
    const blocks = byBlock.get(free) ?? new Map<bigint, Placed[]>();
    byBlock.set(free, blocks);
    const found = blocks.get(bits);
    if (found === undefined) blocks.set(bits, [{ at, rule }]);
    else found.push({ at, rule });
  }
  return { others, otherRules: others.map(({ rule }) => rule), byBlock };
}

/** The one block of destinations that a condition allows, if it is one. */
function onlyBlock(condition: Condition): { readonly free: bigint; readonly bits: bigint } | undefined {
  if (condition.kind !== "address" || condition.negated || condition.isOriginal === true) return undefined;
  if (condition.side !== "destination") return undefined;
  const [interval, ...more] = condition.intervals;
  if (interval === undefined || more.length > 0) return undefined;
  const free = freeBits(interval);
  return free === undefined || interval.last >= everything(condition.family).last
    ? undefined
    : { free, bits: interval.first >> free };
}

/** How many bits are free in a block; undefined if the interval is not one. */
function freeBits({ first, last }: Interval): bigint | undefined {
  const mask = last ^ first;
  if ((mask & (mask + 1n)) !== 0n || (first & mask) !== 0n) return undefined;
  return BigInt(mask === 0n ? 0 : mask.toString(2).length);
}

/** The chains that a base chain may lead to, itself first. */
export function reachableChains({ chain, chains }: Pick<Hook, "chain" | "chains">): ReadonlySet<string> {
  const found = new Set([chain]);
  for (const name of found)
    for (const { action } of chains.get(name) ?? []) if ("chain" in action) found.add(action.chain);
  return found;
}

/** The rules that a packet may come to from a base chain. */
export function reachableRules(hook: Pick<Hook, "chain" | "chains">): TraceRule[] {
  const rules: TraceRule[] = [];
  for (const name of reachableChains(hook)) for (const rule of hook.chains.get(name) ?? []) rules.push(rule);
  return rules;
}

/** All conditions, also those within others. */
export function* allConditions(rules: Iterable<Pick<TraceRule, "conditions">>): Generator<Condition> {
  for (const { conditions } of rules)
    for (const one of conditions) {
      yield one;
      if (one.kind === "either") yield* allConditions(one.lists.map((list) => ({ conditions: list })));
    }
}

/** The intervals of addresses that conditions name. */
export function namedIntervals(
  rules: Iterable<Pick<TraceRule, "conditions">>,
  family: Family,
  side: Side,
): Set<readonly Interval[]> {
  const found = new Set<readonly Interval[]>();
  for (const one of allConditions(rules))
    if (one.kind === "address" && one.side === side && one.family === family) found.add(one.intervals);
  return found;
}

/** The first addresses of all parts into which lists of intervals cut an interval, in order. */
export function cutPoints(lists: Iterable<readonly Interval[]>, { first, last }: Interval): bigint[] {
  const cuts = new Set([first]);
  for (const list of lists)
    for (const one of list) {
      if (one.first > first && one.first <= last) cuts.add(one.first);
      if (one.last >= first && one.last < last) cuts.add(one.last + 1n);
    }
  return [...cuts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

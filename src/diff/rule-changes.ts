/** A change of rulesets as rules and elements that a packet filter adds and removes. */
import { type Family, formatAddress, IPTABLES } from "../core/cidr.ts";
import { changeIntervals, type Interval } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { chainRules } from "../iptables/chain-rules.ts";
import { layoutOf, wantedSets } from "../iptables/layout.ts";
import { canonicalRule } from "../iptables/rule.ts";

/** The content of a place, as lines. */
export interface Content {
  readonly where: string;
  readonly lines: readonly string[];
  /** Whether their order means anything. */
  readonly isOrdered: boolean;
}

/** The lines that a place gains and loses. */
export interface RuleChange {
  readonly where: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** The order of the common lines differs. */
  readonly reordered: boolean;
}

/** The rules and sets of a ruleset with the iptables backend, with a tool that knows all options that we use. */
export function iptablesContents(ruleset: Ruleset, ipsetThreshold: number): Content[] {
  const layout = layoutOf(ruleset, wantedSets(ruleset, ipsetThreshold));
  const rules = chainRules(ruleset, layout, ruleset.masquerade.randomFully);
  const chain = { where: chainPlace(ruleset), lines: rules.map(canonicalRule), isOrdered: true };
  const sets = Object.values(layout.sets).map(({ name, elements }) => ({
    where: setPlace(name),
    lines: elements,
    isOrdered: false,
  }));
  return [chain, ...sets];
}

/** The name of our chain in an answer. */
export function chainPlace({ chain, family }: Pick<Ruleset, "chain" | "family">): string {
  return `${IPTABLES[family]} -t nat chain ${chain}`;
}

/** The name of an ipset in an answer. */
export function setPlace(name: string): string {
  return `ipset ${name}`;
}

/** The places that differ; a place that only one list has is empty in the other. */
export function changeContents(before: readonly Content[], after: readonly Content[]): RuleChange[] {
  const places = [...new Set([...before, ...after].map(({ where }) => where))];
  return places.flatMap((where) => {
    const old = before.find((one) => one.where === where);
    const fresh = after.find((one) => one.where === where);
    const change = changeLines(where, old?.lines ?? [], fresh?.lines ?? [], fresh?.isOrdered ?? false);
    return isChange(change) ? [change] : [];
  });
}

/** The elements that an nftables set gains and loses. */
export function changeElements(
  where: string,
  family: Family,
  before: readonly Interval[],
  after: readonly Interval[],
): RuleChange[] {
  const { added, removed } = changeIntervals(before, after);
  const text = ({ first, last }: Interval) =>
    first === last
      ? formatAddress(family, first)
      : `${formatAddress(family, first)}-${formatAddress(family, last)}`;
  const change = { where, added: added.map(text), removed: removed.map(text), reordered: false };
  return isChange(change) ? [change] : [];
}

function isChange({ added, removed, reordered }: RuleChange): boolean {
  return added.length > 0 || removed.length > 0 || reordered;
}

/** Lines may occur more than once, so it counts them. It skips the common start and end of both lists first. */
function changeLines(
  where: string,
  before: readonly string[],
  after: readonly string[],
  isOrdered: boolean,
): RuleChange {
  let start = 0;
  const least = Math.min(before.length, after.length);
  while (start < least && before[start] === after[start]) start++;
  let end = 0;
  while (end < least - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const old = before.slice(start, before.length - end);
  const fresh = after.slice(start, after.length - end);
  const added = without(fresh, old);
  const removed = without(old, fresh);
  const reordered = isOrdered && without(old, removed).join("\n") !== without(fresh, added).join("\n");
  return { where, added, removed, reordered };
}

/** The lines of `all` that are not in `others`, each as often as it is more. */
function without(all: readonly string[], others: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of others) counts.set(line, (counts.get(line) ?? 0) + 1);
  return all.filter((line) => {
    const count = counts.get(line) ?? 0;
    if (count > 0) counts.set(line, count - 1);
    return count === 0;
  });
}

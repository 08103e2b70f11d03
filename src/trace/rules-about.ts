/** Rules as they are for packets of some sources and links: without the conditions that all of these meet. */
import type { Family } from "../core/cidr.ts";
import { everything, type Interval, meetIntervals, subtractIntervals } from "../core/intervals.ts";
import type { Condition, TraceRule } from "./model.ts";

/** The packets that a question is about: from these sources (undefined: any), through one of these links (none: any). */
export interface OurPackets {
  readonly sources: readonly Interval[] | undefined;
  /** As in `outputInterfaces`. */
  readonly interfaces: readonly string[];
}

/** Which of our packets a rule is about, as far as sources and links tell. */
interface Reach {
  readonly sources: readonly Interval[];
  /** Those of our links that it is about. */
  readonly links: readonly Link[];
  /** Whether it takes a part only: by bits, ports, or at random. */
  readonly isShare: boolean;
}

/** A name as rules have it; undefined: any. */
type Link = string | undefined;

/**
 * The rules that remain for all of our packets alike. Several that masquerade some of them each are one where they masquerade all
 * together. Undefined if some of our packets take another way than the rest.
 */
export function rulesAbout(
  ours: OurPackets,
  rules: readonly TraceRule[],
  family: Family,
): readonly TraceRule[] | undefined {
  const sources = ours.sources ?? [everything(family)];
  const links: readonly Link[] = ours.interfaces.length === 0 ? [undefined] : ours.interfaces.map(asPattern);
  const plain: TraceRule[] = [];
  /** Of each link, the sources that no rule has masqueraded yet. */
  let open = new Map(links.map((link) => [link, sources]));
  let isPartial = false;
  /** Whether a rule takes a share of which no rule has the rest. */
  let isShared = false;
  for (const rule of rules) {
    const reach = reachOf(rule, { sources, links, family });
    if (rule.action.kind === "continue" || reach.sources.length === 0 || reach.links.length === 0) continue;
    if (reach.isShare) {
      if (!isMasquerade(rule)) return undefined;
      isShared = true;
      continue;
    }
    const isForAll =
      subtractIntervals(sources, reach.sources).length === 0 && reach.links.length === links.length;
    if (!isForAll && (!isMasquerade(rule) || hasDestination(rule))) return undefined;
    if (isForAll && isPartial && hasDestination(rule)) return undefined;
    if (!isForAll) open = new Map(links.map((link) => [link, remaining(open, link, reach)]));
    isPartial = !isForAll && [...open.values()].some((left) => left.length > 0);
    if (isPartial) continue;
    plain.push(withoutReach(rule));
    if (isMasquerade(rule) && !hasDestination(rule)) isShared = false;
  }
  return isPartial || isShared ? undefined : plain;
}

function remaining(
  open: ReadonlyMap<Link, readonly Interval[]>,
  link: Link,
  reach: Reach,
): readonly Interval[] {
  const left = open.get(link) ?? [];
  return reach.links.includes(link) ? subtractIntervals(left, reach.sources) : left;
}

function asPattern(name: string): string {
  return name.replace(/\+$/, "*");
}

function reachOf(
  { conditions }: TraceRule,
  ours: { readonly sources: readonly Interval[]; readonly links: readonly Link[]; readonly family: Family },
): Reach {
  let { sources, links } = ours;
  let isShare = false;
  for (const condition of conditions) {
    if (condition.kind === "address" && condition.side === "source") {
      if (condition.family !== ours.family) return { sources: [], links, isShare };
      sources = condition.negated
        ? subtractIntervals(sources, condition.intervals)
        : meetIntervals(sources, condition.intervals);
    } else if (condition.kind === "out" && !condition.negated) {
      links = links.filter(
        (link) => link !== undefined && condition.names.some((name) => isWithin(link, name)),
      );
      // Of all links, it is about some.
      if (ours.links.includes(undefined)) isShare = true;
    } else if (!isDestination(condition)) isShare = true;
  }
  return { sources, links: isShare && links.length === 0 ? ours.links : links, isShare };
}

/** Whether a rule's name matches all that one of ours does. */
function isWithin(link: string, pattern: string): boolean {
  return pattern.endsWith("*") ? link.startsWith(pattern.slice(0, -1)) : link === pattern;
}

function isDestination(condition: Condition): boolean {
  if (condition.kind === "family") return true;
  return (condition.kind === "address" || condition.kind === "local") && condition.side === "destination";
}

function hasDestination({ conditions }: TraceRule): boolean {
  return conditions.some((one) => isDestination(one) && one.kind !== "family");
}

function isMasquerade({ action }: TraceRule): boolean {
  return action.kind === "masquerade" || action.kind === "translate";
}

/** A translation is a masquerade here: with which address is another question. */
function withoutReach(rule: TraceRule): TraceRule {
  const action = isMasquerade(rule) ? ({ kind: "masquerade" } as const) : rule.action;
  return { ...rule, action, conditions: rule.conditions.filter(isDestination) };
}

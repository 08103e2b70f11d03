/** Which addresses keep the pod's address by the current rules in our chain, whichever program wrote them. */
import type { Family } from "../core/cidr.ts";
import { explainInterval } from "../core/explanation.ts";
import {
  decompose,
  everything,
  type Interval,
  meetIntervals,
  subtractIntervals,
  uniteIntervals,
} from "../core/intervals.ts";
import type { Entry } from "../core/ruleset.ts";
import type { Condition, TraceRule } from "./model.ts";
import { type OurPackets, rulesAbout } from "./rules-about.ts";

/**
 * The addresses that rules let pass, or that come to the end of them; the node's own aside. Undefined if a rule has
 * conditions on anything but the destination, so that there is no certain answer. With `ours`, the answer is about these
 * packets, so that conditions on their source and link count as met; rules may then give them another address.
 */
export function keptByRules(
  all: readonly TraceRule[],
  family: Family,
  ours?: OurPackets,
): Interval[] | undefined {
  const rules = ours === undefined ? all : rulesAbout(ours, all, family);
  return rules === undefined ? undefined : keptByPlainRules(rules, family);
}

function keptByPlainRules(rules: readonly TraceRule[], family: Family): Interval[] | undefined {
  const all = [everything(family)];
  let kept: Interval[] = [];
  let open: Interval[] = all;
  let entries: Entry[] = [];
  // Rules for one block each are weighed together: one by one, a long chain would take hours.
  const weigh = () => {
    if (entries.length === 0) return;
    const parts = explainInterval({ entries }, everything(family)).filter(({ by }) => by !== undefined);
    entries = [];
    const ofVerdict = (verdict: Entry["verdict"]) =>
      parts.filter((part) => part.verdict === verdict).map(({ interval }) => interval);
    kept = uniteIntervals(kept, meet(open, ofVerdict("return")));
    open = subtractIntervals(open, merge(parts.map(({ interval }) => interval)));
  };
  for (const rule of rules) {
    const addresses = rule.action.kind === "continue" ? [] : decided(rule.conditions, family);
    // A share of packets that would be masqueraded anyway, as by the rules for ports.
    if (addresses === "some" && rule.action.kind === "masquerade") continue;
    const verdict =
      rule.action.kind === "masquerade"
        ? "masquerade"
        : rule.action.kind === "return" || rule.action.kind === "accept"
          ? "return"
          : undefined;
    if (addresses !== "some" && addresses.length === 0) continue;
    if (addresses === "some" || verdict === undefined) return undefined;
    const blocks = addresses.length === 1 ? decompose(family, addresses[0] as Interval) : [];
    if (blocks.length === 1) {
      entries.push(...blocks.map((cidr): Entry => ({ cidr, verdict, reason: "configured" })));
      continue;
    }
    weigh();
    if (verdict === "return") kept = uniteIntervals(kept, meet(open, addresses));
    open = subtractIntervals(open, addresses);
  }
  weigh();
  return uniteIntervals(kept, open);
}

/** The destinations that a rule is about; `some` if it depends on something else than the destination. */
function decided(conditions: readonly Condition[], family: Family): readonly Interval[] | "some" {
  let addresses: readonly Interval[] = [everything(family)];
  let depends = false;
  for (const condition of conditions) {
    if (condition.kind === "family") {
      if ((condition.family === family) === condition.negated) return [];
    } else if (condition.kind === "address" && condition.side === "destination" && !condition.isOriginal) {
      if (condition.family !== family) return [];
      const outside = subtractIntervals(addresses, condition.intervals);
      addresses = condition.negated ? outside : subtractIntervals(addresses, outside);
    } else if (condition.kind === "local" && condition.side === "destination") {
      // The node's own addresses are none of a configuration's business.
      if (!condition.negated) return [];
    } else depends = true;
  }
  return depends && addresses.length > 0 ? "some" : addresses;
}

function meet(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  return meetIntervals(a, merge(b));
}

/** Neighbours of a sorted list as one. */
function merge(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const { first, last } of intervals) {
    const previous = merged.at(-1);
    if (previous?.last === first - 1n) merged[merged.length - 1] = { first: previous.first, last };
    else merged.push({ first, last });
  }
  return merged;
}

/** The way of pods' packets through a base chain, as far as it can be told from the rules alone. */

import { everything, type Interval, meetIntervals, subtractIntervals } from "../core/intervals.ts";
import type { Certainty } from "../trace/match.ts";
import type { NatRule } from "./facts.ts";
import { isForPods, least, type Senders } from "./rule-scope.ts";

/** A rule on the way. */
export interface Passed {
  readonly rule: NatRule;
  /** The rule of the base chain that leads to it: itself, or a jump. */
  readonly from: NatRule;
  /** Whether every packet that is not for the node itself comes here and matches. */
  readonly certain: boolean;
  /** Whether all pods' packets to these destinations match, or perhaps some. */
  readonly answer: Exclude<Certainty, "no">;
  readonly destinations: readonly Interval[];
}

/** More rules than this are not followed: a table with that many is not read by people either. */
export const MAX_PASSED = 20_000;

/** Targets that set the source address. */
const SOURCE_NAT = new Set(["MASQUERADE", "SNAT", "NETMAP", "SAME"]);
/** Targets after which the packet leaves the base chain. */
const TERMINAL = new Set([...SOURCE_NAT, "ACCEPT", "DROP", "REJECT"]);

/** What our own jump excludes too. */
const NOT_LOCAL = "-m addrtype ! --dst-type LOCAL";

export function isSourceNat({ target }: NatRule): boolean {
  return SOURCE_NAT.has(target ?? "");
}

/** Whether the rule ends POSTROUTING for what it matches. RETURN does so only there, not in a chain that was jumped to. */
export function isTerminal({ chain, target }: NatRule): boolean {
  return TERMINAL.has(target ?? "") || (chain === "POSTROUTING" && target === "RETURN");
}

/** Whether a rule takes every packet, as far as our jump cares. */
export function isUnconditional({ conditions }: NatRule): boolean {
  return conditions.length === 0 || conditions.join(" ") === NOT_LOCAL;
}

/** A base chain and what it may lead to, whose packets are followed, and the chains that are not. */
export interface Way {
  readonly chains: ReadonlyMap<string, readonly NatRule[]>;
  readonly base: string;
  readonly senders: Senders;
  readonly without: ReadonlySet<string>;
}

interface Start extends Pick<Passed, "certain" | "answer" | "destinations"> {
  readonly from?: NatRule;
}

/** The rules that pods' packets may match, in their order. */
export function walkBase({ chains, base, senders, without }: Way): readonly Passed[] {
  const passed: Passed[] = [];
  // A chain that several rules lead to is followed once for each kind of packet.
  const followed = new Map<string, readonly Interval[]>();
  /** Follows a chain; returns the destinations whose packets leave the base chain there. */
  const follow = (name: string, start: Start): readonly Interval[] => {
    let { certain, destinations } = start;
    let taken: readonly Interval[] = [];
    for (const rule of chains.get(name) ?? []) {
      if (passed.length >= MAX_PASSED) break;
      const matches = isForPods(rule.scope, senders);
      if (matches === "no") continue;
      const answer = least([start.answer, matches]) === "yes" ? "yes" : "maybe";
      const { destinations: asked = destinations } = rule.scope;
      const one: Passed = {
        rule,
        from: start.from ?? rule,
        certain: certain && isUnconditional(rule),
        answer,
        destinations: meetIntervals(destinations, asked),
      };
      passed.push(one);
      const target = rule.target ?? "";
      const gone = TERMINAL.has(target)
        ? one.destinations
        : chains.has(target) && !without.has(target)
          ? once(target, one)
          : [];
      if (target === "RETURN") certain = false;
      if (matches !== "yes") continue;
      taken = [...taken, ...gone];
      destinations = subtractIntervals(destinations, target === "RETURN" ? one.destinations : gone);
    }
    return sort(taken);
  };
  const once = (target: string, one: Passed): readonly Interval[] => {
    const where = one.destinations.map(({ first, last }) => `${first}-${last}`);
    const key = [target, one.certain, one.answer, ...where].join(" ");
    const before = followed.get(key);
    if (before !== undefined) return before;
    // While it is followed, a chain that leads back to itself takes nothing.
    followed.set(key, []);
    const taken = follow(target, one);
    followed.set(key, taken);
    return taken;
  };
  follow(base, { certain: true, answer: "yes", destinations: [everything(senders.family)] });
  return passed;
}

/** Disjoint intervals in address order. */
function sort(intervals: readonly Interval[]): readonly Interval[] {
  return [...intervals].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
}

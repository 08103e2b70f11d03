/**
 * Follows a packet through the base chains that can give it another source address, and, as far as that matters to them,
 * through those in front of them: rules that translate its destination, that exempt it from NAT, that drop it by its
 * destination, or that change its mark. Where a translated packet goes from there is not followed.
 *
 * The first chain that translates wins; what a chain accepts, or lets fall through, goes on to the next (as measured,
 * for chains of one table of iptables and for those of nf_tables alike). A rule of which it is not known whether it
 * matches is followed both ways: what it would decide is noted as possible, and the walk goes on without it.
 */

import type { LocalAddresses } from "../core/intervals.ts";
import { includes } from "../core/intervals.ts";
import { rulesFor } from "./chain-index.ts";
import { markPacket } from "./mark.ts";
import { matchAll, namesDestination } from "./match.ts";
import {
  type Action,
  type Condition,
  HOOKS,
  type Hook,
  type Packet,
  type TraceRule,
  unknownMark,
} from "./model.ts";
import { type Verdict, verdictOf } from "./verdict.ts";

/** A rule and where it stands. */
export interface RuleReference {
  readonly place: string;
  readonly chain: string;
  readonly number: number;
  readonly text: string;
}

/** What becomes of the packet. */
export interface TraceOutcome {
  readonly verdict: Verdict;
  /** Undefined for `keep`, and for a chain's policy. */
  readonly by?: RuleReference;
  /** What it depends on, as the rules say it. */
  readonly conditions: readonly string[];
}

/** What is known of a packet's way. */
export interface Trace {
  /** What may happen before `otherwise` does. */
  readonly possible: readonly TraceOutcome[];
  readonly otherwise: TraceOutcome;
  /** Rules that let the packet pass, such as our `RETURN`, in order. */
  readonly passed: readonly RuleReference[];
}

/** A chain of a foreign dump may lead to others in ways that multiply; no node has so many rules. */
const STEP_LIMIT = 5_000_000;
const DEPTH_LIMIT = 256;

interface Walk {
  readonly hook: Hook;
  readonly local: LocalAddresses;
  readonly possible: TraceOutcome[];
  readonly passed: RuleReference[];
  packet: Packet;
  readonly effort: Effort;
  /** Of this walk alone. */
  steps: number;
}

/** A chain that is being walked, or how that ended. */
interface Frame {
  readonly chain: string;
  readonly depth: number;
  readonly origin?: RuleReference | undefined;
  /** What must be so for the walk to come to the next rule; nothing means that it certainly does. */
  conditions: readonly string[];
  /** The packet may have left the chain for the one that it came from, ... */
  returns: boolean;
  /** ... or the whole base chain, as accepted. */
  accepts: boolean;
  /** What decides, if the packet comes to it. */
  outcome?: TraceOutcome;
}

/** How many rules were compared so far. */
export interface Effort {
  rules: number;
}

/** Follows one packet. */
export function tracePacket(
  hooks: readonly Hook[],
  packet: Packet,
  local: LocalAddresses,
  effort: Effort = { rules: 0 },
): Trace {
  const own = hooks.filter(({ families }) => families.includes(packet.family));
  const isLast = ({ hook, isNat }: Hook) => isNat && hook === "postrouting";
  const before = traceBefore(
    own.filter((hook) => !isLast(hook)),
    packet,
    local,
    effort,
  );
  if (before.outcome !== undefined)
    return { possible: distinct(before.possible), otherwise: before.outcome, passed: [] };
  const trace = traceSourceNat(own.filter(isLast), before.packet, local, effort);
  return { ...trace, possible: distinct([...before.possible, ...trace.possible]) };
}

/** What happens before source NAT, if that is certain, and else what may happen, and how the packet comes there. */
function traceBefore(
  hooks: readonly Hook[],
  packet: Packet,
  local: LocalAddresses,
  effort: Effort,
): { readonly outcome?: TraceOutcome; readonly possible: readonly TraceOutcome[]; readonly packet: Packet } {
  const unused = includes(local[packet.family], packet.destination) ? "forward" : "input";
  const possible: TraceOutcome[] = [];
  let current = packet;
  for (const hook of inOrder(hooks)) {
    if (hook.hook === unused) continue;
    const walk: Walk = { hook, local, possible, passed: [], packet: current, effort, steps: 0 };
    const { outcome, returns, accepts } = walkChain(walk, hook.chain, { conditions: [], depth: 0 });
    current = walk.packet;
    if (outcome === undefined) continue;
    if (!returns && !accepts) return { outcome, possible, packet: current };
    possible.push(outcome);
  }
  return { possible, packet: current };
}

/** By hook and priority; of equal ones the last in the list comes first, as the kernel puts what is registered later in front. */
function inOrder(hooks: readonly Hook[]): Hook[] {
  return [...hooks]
    .reverse()
    .sort((a, b) => HOOKS.indexOf(a.hook) - HOOKS.indexOf(b.hook) || a.priority - b.priority);
}

function traceSourceNat(
  hooks: readonly Hook[],
  packet: Packet,
  local: LocalAddresses,
  effort: Effort,
): Trace {
  const loose = hooks.filter(({ isOrderUnknown }) => isOrderUnknown === true);
  const others = hooks.filter((hook) => !loose.includes(hook));
  const trace = traceInOrder([...loose, ...others], packet, local, effort);
  if (loose.length === 0 || others.length === 0) return trace;
  const { otherwise } = traceInOrder([...others, ...loose], packet, local, effort);
  if (outcomeKey(otherwise) === outcomeKey(trace.otherwise)) return trace;
  const conditions = [...otherwise.conditions, "the order of base chains with the same priority"];
  return { ...trace, possible: [...trace.possible, { ...otherwise, conditions }] };
}

function traceInOrder(hooks: readonly Hook[], packet: Packet, local: LocalAddresses, effort: Effort): Trace {
  const possible: TraceOutcome[] = [];
  const passed: RuleReference[] = [];
  let current = packet;
  for (const hook of inOrder(hooks)) {
    const walk: Walk = { hook, local, possible, passed, packet: current, effort, steps: 0 };
    const { outcome, returns, accepts } = walkChain(walk, hook.chain, { conditions: [], depth: 0 });
    current = walk.packet;
    const last = outcome ?? (returns && hook.policy === "drop" ? DROPPED : undefined);
    if (last === undefined) continue;
    const isSure = !accepts && (!returns || hook.policy === "drop");
    if (isSure && (last === DROPPED || !returns))
      return { possible: distinct(possible), otherwise: last, passed };
    possible.push(last);
    if (isSure) return { possible: distinct(possible), otherwise: DROPPED, passed };
  }
  return { possible: distinct(possible), otherwise: { verdict: "keep", conditions: [] }, passed };
}

/** By a chain's policy. */
const DROPPED: TraceOutcome = { verdict: "drop", conditions: [] };

/** The same for outcomes that are the same, whatever they depend on. */
export function outcomeKey({ verdict, by }: TraceOutcome): string {
  return [verdict, by?.place, by?.chain, by?.number].join("\n");
}

/** The same rule decides in the same way only once, whatever led to it. */
function distinct(outcomes: readonly TraceOutcome[]): TraceOutcome[] {
  const keys = outcomes.map(outcomeKey);
  return outcomes.filter((_, i) => keys.indexOf(keys[i] ?? "") === i);
}

/** How a chain is entered. */
interface Entrance {
  readonly conditions: readonly string[];
  readonly depth: number;
  /** The first rule on the way that names destinations, as kube-proxy's for a Service does. */
  readonly origin?: RuleReference | undefined;
}

/** Walks a chain. */
function walkChain(walk: Walk, chain: string, entrance: Entrance): Frame {
  const frame: Frame = { chain, ...entrance, returns: false, accepts: false };
  const { conditions, depth } = entrance;
  const rules = walk.hook.chains.get(chain);
  // A chain that is not there may do anything.
  if (rules === undefined && walk.hook.isNat) walk.possible.push({ verdict: "unknown", conditions });
  for (const rule of rulesFor(rules ?? [], walk.packet.destination)) {
    walk.effort.rules++;
    if (++walk.steps > STEP_LIMIT || depth > DEPTH_LIMIT)
      return { ...frame, outcome: { verdict: "unknown", by: referTo(walk, chain, rule), conditions } };
    if (takeRule(walk, frame, rule)) return frame;
  }
  frame.returns = true;
  return frame;
}

/** Applies one rule; whether the walk through this chain certainly ends with it. */
function takeRule(walk: Walk, frame: Frame, rule: TraceRule): boolean {
  const { answer, depends } = matchAll(rule.conditions, walk.packet, walk.local);
  if (answer === "no") return false;
  const isSure = answer === "yes";
  const conditions = [...frame.conditions, ...depends.map(({ text }) => text)];
  const by = referTo(walk, frame.chain, rule);
  const { action } = rule;
  for (const change of rule.marks ?? [])
    walk.packet = markPacket(walk.packet, change, conditions.length === 0);
  if (action.kind === "continue") return false;
  const origin = frame.origin ?? (namesDestination(rule.conditions) ? by : undefined);
  if (action.kind === "jump" || action.kind === "goto")
    return takeJump(walk, frame, action, { isSure, conditions, depends, origin });
  if (action.kind === "mark") {
    walk.packet = markPacket(walk.packet, action.change, conditions.length === 0);
    return false;
  }
  if (action.kind === "return" || action.kind === "accept") {
    frame[action.kind === "return" ? "returns" : "accepts"] = true;
    if (conditions.length === 0) walk.passed.push(by);
    frame.conditions = [...frame.conditions, otherwise(depends)];
    return isSure;
  }
  const verdict = verdictOf(action.kind, walk.hook, origin !== undefined);
  const isLast = action.kind !== "unknown" && action.kind !== "untrack" && action.kind !== "rewrite";
  if (verdict === undefined) return isLast && isSure;
  // In front of source NAT, the rule that names the destination tells more than a chain that many lead to.
  const isBefore = !walk.hook.isNat || walk.hook.hook !== "postrouting";
  const outcome: TraceOutcome = { verdict, by: (isBefore ? origin : undefined) ?? by, conditions };
  if (isSure && verdict !== "unknown") frame.outcome = outcome;
  else walk.possible.push(outcome);
  if (verdict === "unknown" && walk.hook.isNat) walk.packet = markPacket(walk.packet, unknownMark(), false);
  return isSure && verdict !== "unknown";
}

interface Entry {
  readonly isSure: boolean;
  readonly conditions: readonly string[];
  readonly depends: readonly Condition[];
  readonly origin: RuleReference | undefined;
}

function takeJump(
  walk: Walk,
  frame: Frame,
  { kind, chain }: Extract<Action, { chain: string }>,
  { isSure, conditions, depends, origin }: Entry,
): boolean {
  const sub = walkChain(walk, chain, { conditions, depth: frame.depth + 1, origin });
  frame.accepts ||= sub.accepts;
  // The packet comes back from a jump; from a goto it goes on where this chain was come from.
  const comesBack = !isSure || (kind === "jump" && sub.returns);
  if (!comesBack) {
    frame.returns ||= sub.returns;
    if (sub.outcome !== undefined) frame.outcome = sub.outcome;
    return true;
  }
  if (sub.outcome !== undefined) walk.possible.push(sub.outcome);
  if (sub.accepts) frame.conditions = [...frame.conditions, `not accepted in ${chain}`];
  if (kind === "goto") {
    frame.returns ||= sub.returns;
    frame.conditions = [...frame.conditions, otherwise(depends)];
  }
  return false;
}

function referTo({ hook }: Walk, chain: string, { number, text }: TraceRule): RuleReference {
  return { place: hook.place, chain, number, text };
}

function otherwise(depends: readonly Condition[]): string {
  return `not (${depends.map(({ text }) => text).join(" ")})`;
}

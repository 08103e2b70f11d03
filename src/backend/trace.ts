/**
 * Follows a packet through the base chains that can give it another source address.
 *
 * The first chain that translates wins; what a chain accepts, or lets fall through, goes on to the next (as measured,
 * for chains of one table of iptables and for those of nf_tables alike). A rule of which it is not known whether it
 * matches is followed both ways: what it would decide is noted as possible, and the walk goes on without it.
 */

import { type LocalAddresses, matchAll } from "./trace-match.ts";
import type { Action, Condition, Hook, Packet, TraceRule } from "./trace-model.ts";

/** A rule and where it stands. */
export interface RuleReference {
  readonly place: string;
  readonly chain: string;
  readonly number: number;
  readonly text: string;
}

/** What becomes of the packet. `keep`: no chain translates it. `unknown`: a rule of a kind that we do not know may decide. */
export interface Outcome {
  readonly verdict: "masquerade" | "translate" | "keep" | "drop" | "unknown";
  /** Undefined for `keep`, and for a chain's policy. */
  readonly by?: RuleReference;
  /** What it depends on, as the rules say it. */
  readonly conditions: readonly string[];
}

/** What is known of a packet's way. */
export interface Trace {
  /** What may happen before `otherwise` does. */
  readonly possible: readonly Outcome[];
  readonly otherwise: Outcome;
  /** Rules that let the packet pass, such as our `RETURN`, in order. */
  readonly passed: readonly RuleReference[];
}

/** A chain of a foreign dump may lead to others in ways that multiply; no node has so many rules. */
const STEP_LIMIT = 5_000_000;
const DEPTH_LIMIT = 256;

interface Walk {
  readonly hook: Hook;
  readonly local: LocalAddresses;
  readonly possible: Outcome[];
  readonly passed: RuleReference[];
  packet: Packet;
  steps: number;
}

/** A chain that is being walked, or how that ended. */
interface Frame {
  readonly chain: string;
  readonly depth: number;
  /** What must be so for the walk to come to the next rule; nothing means that it certainly does. */
  conditions: readonly string[];
  /** The packet may have left the chain for the one that it came from, ... */
  returns: boolean;
  /** ... or the whole base chain, as accepted. */
  accepts: boolean;
  /** What decides, if the packet comes to it. */
  outcome?: Outcome;
}

/**
 * Follows one packet. Hooks of its family are walked in order of priority; of equal ones the last in the list comes
 * first, as the kernel puts what is registered later in front.
 */
export function tracePacket(hooks: readonly Hook[], packet: Packet, local: LocalAddresses): Trace {
  const loose = hooks.filter(({ isOrderUnknown }) => isOrderUnknown === true);
  const others = hooks.filter((hook) => !loose.includes(hook));
  const trace = traceInOrder([...loose, ...others], packet, local);
  if (loose.length === 0 || others.length === 0) return trace;
  const { otherwise } = traceInOrder([...others, ...loose], packet, local);
  if (outcomeKey(otherwise) === outcomeKey(trace.otherwise)) return trace;
  const conditions = [...otherwise.conditions, "the order of base chains with the same priority"];
  return { ...trace, possible: [...trace.possible, { ...otherwise, conditions }] };
}

function traceInOrder(hooks: readonly Hook[], packet: Packet, local: LocalAddresses): Trace {
  const possible: Outcome[] = [];
  const passed: RuleReference[] = [];
  const ordered = [...hooks].reverse().sort((a, b) => a.priority - b.priority);
  let current = packet;
  for (const hook of ordered.filter(({ families }) => families.includes(packet.family))) {
    const walk: Walk = { hook, local, possible, passed, packet: current, steps: 0 };
    const { outcome, returns, accepts } = walkChain(walk, hook.chain, [], 0);
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
const DROPPED: Outcome = { verdict: "drop", conditions: [] };

/** The same for outcomes that are the same, whatever they depend on. */
export function outcomeKey({ verdict, by }: Outcome): string {
  return [verdict, by?.place, by?.chain, by?.number].join("\n");
}

/** The same rule decides in the same way only once, whatever led to it. */
function distinct(outcomes: readonly Outcome[]): Outcome[] {
  const keys = outcomes.map(outcomeKey);
  return outcomes.filter((_, i) => keys.indexOf(keys[i] ?? "") === i);
}

/** Walks a chain that is entered under `conditions`. */
function walkChain(walk: Walk, chain: string, conditions: readonly string[], depth: number): Frame {
  const frame: Frame = { chain, depth, conditions, returns: false, accepts: false };
  for (const rule of walk.hook.chains.get(chain) ?? []) {
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
  if (action.kind === "continue") return false;
  if (action.kind === "jump" || action.kind === "goto")
    return takeJump(walk, frame, action, { isSure, conditions, depends });
  if (action.kind === "mark" || action.kind === "unknown") {
    const change = action.kind === "unknown" || conditions.length > 0 ? "unknown" : action.change;
    walk.packet = markPacket(walk.packet, change);
    if (action.kind === "unknown") walk.possible.push({ verdict: "unknown", by, conditions });
    return false;
  }
  if (action.kind === "return" || action.kind === "accept") {
    frame[action.kind === "return" ? "returns" : "accepts"] = true;
    if (conditions.length === 0) walk.passed.push(by);
    frame.conditions = [...frame.conditions, otherwise(depends)];
    return isSure;
  }
  const outcome: Outcome = { verdict: action.kind, by, conditions };
  if (isSure) frame.outcome = outcome;
  else walk.possible.push(outcome);
  return isSure;
}

interface Entry {
  readonly isSure: boolean;
  readonly conditions: readonly string[];
  readonly depends: readonly Condition[];
}

function takeJump(
  walk: Walk,
  frame: Frame,
  { kind, chain }: Extract<Action, { chain: string }>,
  { isSure, conditions, depends }: Entry,
): boolean {
  const sub = walkChain(walk, chain, conditions, frame.depth + 1);
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

function markPacket(packet: Packet, change: Extract<Action, { kind: "mark" }>["change"]): Packet {
  const { mark, ...rest } = packet;
  if (change === "unknown") return rest;
  if (change.and === 0) return { ...rest, mark: change.xor >>> 0 };
  return mark === undefined ? rest : { ...rest, mark: ((mark & change.and) ^ change.xor) >>> 0 };
}

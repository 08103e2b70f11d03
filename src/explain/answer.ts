/**
 * The fate of destinations by the configuration and by the rules of a node, side by side. An interval of addresses
 * is split wherever either answer changes.
 */

import type { Family } from "../core/cidr.ts";
import { type Explanation, explainInterval } from "../core/explanation.ts";
import { type Interval, includes, type LocalAddresses } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { cutPoints, namedIntervals } from "../trace/chain-index.ts";
import type { Hook, Packet } from "../trace/model.ts";
import { outcomeKey, type Trace, type TraceOutcome } from "../trace/outcome.ts";
import { type Known, tracePacket } from "../trace/trace.ts";
import type { Effort } from "../trace/walk.ts";
import { type Agreement, compareOutcomes, type Wanted } from "./agreement.ts";
import { addressesOf, answerScope, isWanted, type PacketDetails, type ScopeAnswer } from "./scope.ts";

/** The rules of a node, and the known details of its packets. */
export interface NodeRules {
  readonly hooks: readonly Hook[];
  readonly local: LocalAddresses;
  /** The known details of the packets besides their destination. */
  readonly packet: Omit<Packet, "family" | "destination">;
  /** The parts of its rules that could not be read, so that no effect of the rules is certain. */
  readonly notRead: readonly string[];
  /** Where the kernel sends packets; undefined: not looked up, or no answer. */
  readonly routeOf?: Known["routeOf"];
  readonly hereOf?: Known["hereOf"];
}

/** The effect of the node's rules. */
export interface LiveAnswer extends Trace {
  /** Outcomes that may come first if the packet has a mark other than 0, where the question names no mark. */
  readonly marked: readonly TraceOutcome[];
}

/** Addresses with one answer. */
export interface Part {
  readonly interval: Interval;
  /** By the configuration; undefined if it is not part of the question. */
  readonly config?: ConfigAnswer;
  readonly live?: LiveAnswer;
  /** Undefined unless the question is about both. */
  readonly agrees?: Agreement;
  /** The configuration's answer for an endpoint; undefined if it is not part of the question. */
  readonly configAt?: ((destination: bigint) => ConfigAnswer) | undefined;
}

/** The configuration's answer. */
export interface ConfigAnswer {
  /** For packets that are ours, unless none is. */
  readonly verdict: "keep" | "masquerade";
  readonly explanation: Explanation | "local" | "family off";
  /** Where the destination is masqueraded, and the configuration says whose packets are. */
  readonly scope?: ScopeAnswer;
  /** The addresses that masqueraded packets may leave with; absent: the kernel chooses. */
  readonly as?: readonly bigint[];
}

/** The local addresses of every machine. */
const LOOPBACK: LocalAddresses = {
  IPv4: [{ first: 127n << 24n, last: (128n << 24n) - 1n }],
  IPv6: [{ first: 1n, last: 1n }],
};

/** The maximum of compared rules: more would take longer than seconds. */
const WORK_LIMIT = 50_000_000;

/** The number of compared rules after which we estimate the total. */
const WORK_SEEN = 1_000_000;

/** Whether the total will exceed the limit at the current rate. */
function isTooMuch(rules: number, done: number, all: number): boolean {
  return rules > WORK_SEEN && done < all && (rules / done) * all > WORK_LIMIT;
}

/** A question about addresses of one family; `ruleset` is undefined if the agent does not manage the family. */
export interface Question {
  readonly family: Family;
  readonly interval: Interval;
  /** Of the destination. */
  readonly port?: number | undefined;
  readonly protocol?: string | undefined;
  readonly ruleset?: Ruleset | undefined;
  /** Whether the question is about the configuration. */
  readonly hasConfig: boolean;
  /** The known details of the packet. */
  readonly packet?: PacketDetails;
  readonly node?: NodeRules | undefined;
}

/** The answers in address order, or undefined if there are too many to compute. */
export function answerParts(question: Question): Part[] | undefined {
  const { family, interval, ruleset, node } = question;
  const explanations = ruleset === undefined ? [] : explainInterval(ruleset, interval);
  const hooks = (node?.hooks ?? []).filter(({ families }) => families.includes(family));
  const local = (node?.local ?? LOOPBACK)[family];
  const rules = [...new Set(hooks.map(({ chains }) => chains))].flatMap((one) => [...one.values()].flat());
  const named = namedIntervals(rules, family, "destination");
  const explained = explanations.map((one) => one.interval);
  const starts = cutPoints([explained, ...named, local], interval);
  const effort = { rules: 0 };
  const parts: (Part & { key: string })[] = [];
  let at = 0;
  for (const [i, first] of starts.entries()) {
    const last = (starts[i + 1] ?? interval.last + 1n) - 1n;
    while ((explanations[at]?.interval.last ?? last) < first) at++;
    const part = answerPart(question, local, { first, last }, explanations[at], effort);
    if (isTooMuch(effort.rules, i + 1, starts.length)) return undefined;
    const previous = parts.at(-1);
    // Pieces with the same answer for the same reason are one.
    const key = keyOf(part);
    if (previous?.key !== key) parts.push({ ...part, key });
    else parts[parts.length - 1] = { ...previous, interval: { first: previous.interval.first, last } };
  }
  return parts.map(({ key: _, ...part }) => part);
}

function configAnswer(
  explanation: Explanation | undefined,
  { ruleset, packet = {} }: Pick<Question, "ruleset" | "packet">,
): ConfigAnswer {
  if (explanation === undefined || ruleset === undefined)
    return { verdict: "keep", explanation: "family off" };
  if (explanation.verdict === "return") return { verdict: "keep", explanation };
  const { family, scope, masquerade } = ruleset;
  const answer = scope && answerScope(family, scope, packet);
  const as = addressesOf(masquerade, packet.source);
  return {
    verdict: answer?.isOurs === false ? "keep" : "masquerade",
    explanation,
    ...(answer === undefined ? {} : { scope: answer }),
    ...(as === undefined ? {} : { as }),
  };
}

function answerPart(
  question: Question,
  local: readonly Interval[],
  interval: Interval,
  explanation: Explanation | undefined,
  effort: Effort,
): Part {
  const { hasConfig, ruleset, node } = question;
  const live = node === undefined ? undefined : traceInterval(node, question, interval, effort);
  const found = { interval, ...(live === undefined ? {} : { live }) };
  if (!hasConfig) return found;
  const configOf = (destination: bigint, known: Explanation | undefined): ConfigAnswer =>
    ruleset !== undefined && includes(local, destination)
      ? { verdict: "keep", explanation: "local" }
      : configAnswer(known, question);
  const configAt = (destination: bigint) =>
    configOf(destination, ruleset && explainInterval(ruleset, { first: destination, last: destination })[0]);
  const config = configOf(interval.first, explanation);
  if (live === undefined) return { ...found, config };
  const isKnown = node?.notRead.length === 0;
  const wanted = (one: ConfigAnswer) => wantedOf(one, question);
  const wantedAt = (destination: bigint) => wanted(configAt(destination));
  const agrees = isKnown
    ? compareOutcomes(wanted(config), [...live.possible, live.otherwise], wantedAt)
    : "unknown";
  return { ...found, config, agrees, configAt };
}

/** The verdict that the configuration wants of the rules. */
function wantedOf({ verdict, scope, as }: ConfigAnswer, { ruleset, packet }: Question): Wanted {
  if (scope === undefined || ruleset === undefined) return { verdict, as };
  return {
    // The link is known better from the rules' own answer.
    verdict: "masquerade",
    as,
    isOurs: (out) => isWanted(ruleset, { ...packet, out: packet?.out ?? out }),
  };
}

/** A pod's own packet has no mark; outcomes for other marks are listed separately. */
function traceInterval(
  { hooks, local, packet, routeOf, hereOf }: NodeRules,
  { family, port, protocol }: Question,
  { first, last }: Interval,
  effort: Effort,
): LiveAnswer {
  const known = { ...(port === undefined ? {} : { port }), ...(protocol === undefined ? {} : { protocol }) };
  const asked = { ...packet, ...known, family, destination: first };
  const isRange = first !== last;
  // The way of one address is not that of its neighbours.
  const way = isRange ? (one: Packet) => (one.isTranslated === true ? routeOf?.(one) : undefined) : routeOf;
  const more: Known = { effort, routeOf: way, hereOf, isRange };
  if (packet.mark !== undefined) return { ...tracePacket(hooks, asked, local, more), marked: [] };
  const trace = tracePacket(hooks, { ...asked, mark: 0 }, local, more);
  const keys = new Set([...trace.possible, trace.otherwise].map(outcomeKey));
  const any = tracePacket(hooks, asked, local, more);
  return { ...trace, marked: any.possible.filter((outcome) => !keys.has(outcomeKey(outcome))) };
}

function keyOf({ config, live, agrees }: Part): string {
  const explanation = config?.explanation;
  const by = typeof explanation === "object" ? `${explanation.interval.first}` : explanation;
  const passed = live?.passed.map(({ chain, number }) => `${chain} ${number}`) ?? [];
  const outcomes =
    live === undefined ? [] : [...live.possible, live.otherwise, ...live.marked].map(endpointsKey);
  return [by, agrees, ...passed, ...outcomes].join("\n");
}

function endpointsKey(outcome: TraceOutcome): string {
  const places =
    outcome.endpoints?.map(
      ({ destination, isHere, port }) => `${isHere === true ? "here" : destination} ${port}`,
    ) ?? [];
  return [outcomeKey(outcome), ...places].join("\n");
}

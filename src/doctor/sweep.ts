/**
 * Compares the effect of the node's rules with the configuration over the whole address space: the tracer follows one packet of each
 * kind that pods may send. A destination is followed first with all that rules ask left open; only where that leaves open whether the
 * rules agree, packets of each kind are followed one by one.
 *
 * Services are none of this: how kube-proxy translates their packets' destinations is its own affair (`service-masquerade` looks at
 * it), so the chains that do so are left out, and what is left is asked with a packet that has been translated as well, if a rule
 * asks for that. Left out are also long base chains that only drop packets: to say of a packet that is dropped that it would be
 * translated differently does no harm.
 */
import type { Family } from "../core/cidr.ts";
import { everything, type Interval, includes } from "../core/intervals.ts";
import type { Scope } from "../core/ruleset.ts";
import { leavesThroughOurs } from "../core/sources.ts";
import { known } from "../system/fact.ts";
import { allConditions, reachableChains, reachableRules } from "../trace/chain-index.ts";
import { inOrder } from "../trace/hooks.ts";
import type { Action, Hook, Packet, TraceRule } from "../trace/model.ts";
import { ruleKey, type Trace, type TraceOutcome } from "../trace/outcome.ts";
import type { RuleReference } from "../trace/state.ts";
import { tracePacket } from "../trace/trace.ts";
import { decidesSource, entranceOf, isOurs, pastOurs, ruleOf } from "./base-chains.ts";
import type { Facts } from "./facts.ts";
import {
  countPackets,
  type Destinations,
  openPacket,
  type PacketSpace,
  packetSpace,
  packetsTo,
  scopeOf,
} from "./packets.ts";

/** A rule that decides differently from the configuration for packets of pods, or may. */
export interface Deviation {
  readonly family: Family;
  /** `keep`: the rule leads packets past ours. */
  readonly verdict: "masquerade" | "translate" | "keep" | "untracked" | "unknown";
  readonly rule: TraceRule;
  readonly by: RuleReference;
  readonly hook: Hook;
  /** The rule of the base chain that leads to it: itself, or a jump. */
  readonly from: TraceRule;
  readonly destinations: readonly Interval[];
  /** Whether it certainly decides so for some packets. */
  readonly isCertain: boolean;
  /** Whether it does for all packets of pods to some destination. */
  readonly isForAll: boolean;
}

export interface Sweep {
  readonly deviations: readonly Deviation[];
  /** Why not everything could be compared. */
  readonly leftOut?: string;
}

/** The maximum of compared rules, about as many as take two seconds: then the answer says what it leaves out. */
const WORK_LIMIT = 2_000_000;
/** To follow a packet takes as long as to compare so many rules, even if there are none. */
const WORK_OF_PACKET = 30;
/** After which packets are not followed one by one any more. */
const CLOSE_LIMIT = 1_000_000;
/** The maximum of packets to one destination that are followed one by one. */
const MANY_PACKETS = 1_000;
/** Base chains with more rules are left out if they only drop. */
const LONG = 1_000;

const sweeps = new WeakMap<Facts, ReadonlyMap<Family, Sweep>>();

/** The outcomes that differ from the configuration, in the families that are enabled. Computed once for all checks. */
export function sweep(facts: Facts): ReadonlyMap<Family, Sweep> {
  const found =
    sweeps.get(facts) ??
    new Map(facts.settings.families.map((family) => [family, sweepFamily(facts, family)] as const));
  sweeps.set(facts, found);
  return found;
}

/** All that rules do differently. */
export function deviationsOf(facts: Facts): readonly Deviation[] {
  return [...sweep(facts).values()].flatMap(({ deviations }) => deviations);
}

/** A family's part of the work. */
interface Work {
  readonly facts: Facts;
  readonly space: PacketSpace;
  readonly hooks: readonly Hook[];
  /** The destinations that the configuration keeps; where it is bad, all: then every rule that translates is reported. */
  readonly kept: readonly Interval[];
  /** Whose packets are ours; undefined: all. */
  readonly scope: Scope | undefined;
  /** As so many comparisons of rules. */
  readonly workOfPacket: number;
  readonly asksTranslated: boolean;
  readonly effort: { rules: number };
  readonly found: Map<string, Found>;
}

/** A deviation while destinations are gone through. */
interface Found {
  readonly by: RuleReference;
  readonly verdict: Deviation["verdict"];
  readonly parts: Destinations[];
  isCertain: boolean;
  isForAll: boolean;
}

function sweepFamily(facts: Facts, family: Family): Sweep {
  const rules = known(facts.trace);
  if (rules === undefined) return { deviations: [] };
  const hooks = rules.hooks.filter((hook) => hook.families.includes(family) && isAsked(hook));
  const kept = known(facts.config)?.kept?.get(family) ?? [everything(family)];
  const space = packetSpace(facts, family, hooks, kept);
  const conditions = [...allConditions(hooks.flatMap(reachableRules))];
  const asksTranslated = conditions.some((one) => one.kind === "state" && one.states.includes("dnat"));
  const scope = scopeOf(facts, family);
  // Conditions within conditions, such as 100,000 elements of a set with two places, are compared one by one.
  const nested =
    conditions.length - hooks.flatMap(reachableRules).reduce((sum, rule) => sum + rule.conditions.length, 0);
  const workOfPacket = WORK_OF_PACKET + nested;
  const work = {
    facts,
    space,
    hooks,
    kept,
    scope,
    workOfPacket,
    asksTranslated,
    effort: { rules: 0 },
    found: new Map(),
  };
  for (const [i, part] of space.destinations.entries()) {
    compare(work, part);
    if (work.effort.rules > WORK_LIMIT)
      return {
        deviations: describe(work),
        leftOut: `${family}: only ${i + 1} of ${space.destinations.length} parts of the address space were compared with the rules, since there are so many rules: ip-masq-agent explain --live follows single packets`,
      };
  }
  return { deviations: describe(work) };
}

/** Whether a base chain can decide which source address a packet shows. */
function isAsked(hook: Hook): boolean {
  if (!decidesSource(hook)) return false;
  const rules = reachableRules(hook);
  return rules.length <= LONG || rules.some((rule) => !isOnlyDrop(rule));
}

const FILTER = ["accept", "drop", "return", "jump", "goto", "continue"];

function isOnlyDrop({ action, marks = [] }: TraceRule): boolean {
  return marks.length === 0 && FILTER.includes(action.kind);
}

/** Notes what rules do differently with packets to these destinations, which all rules treat alike. */
function compare(work: Work, part: Destinations): void {
  const { space, scope } = work;
  const destination = part.first;
  for (const isTranslated of work.asksTranslated ? [false, true] : [false]) {
    const look = (packet: Packet) => follow(work, { ...packet, ...(isTranslated ? { isTranslated } : {}) });
    const open = look(openPacket(space, destination));
    const isOpen = (open.length > 1 || scope !== undefined) && open.some((one) => one !== undefined);
    const count = countPackets(space);
    const isClose = isOpen && count > 1 && count <= MANY_PACKETS && work.effort.rules < CLOSE_LIMIT;
    const all = isClose ? [...packetsTo(space, destination)].map(look) : [open];
    note(work, part, all);
  }
}

/** Of each outcome for a packet, what is different; undefined: nothing. */
type Differences = readonly (Pick<Found, "by" | "verdict"> | undefined)[];

function follow(work: Work, packet: Packet): Differences {
  const { hooks, facts, effort, workOfPacket } = work;
  const local = known(facts.trace)?.local ?? { IPv4: [], IPv6: [] };
  const trace = tracePacket(hooks, packet, local, { effort });
  effort.rules += workOfPacket;
  const outcomes = [...trace.possible, trace.otherwise].filter(({ verdict }) => verdict !== "drop");
  return outcomes.map((outcome) => difference(work, packet, outcome, trace));
}

function note({ found }: Work, part: Destinations, all: readonly Differences[]): void {
  const certain = new Map<string, number>();
  for (const differences of all)
    for (const one of differences) {
      if (one === undefined) continue;
      const key = `${one.verdict}\n${ruleKey(one.by)}`;
      const known = found.get(key) ?? { ...one, parts: [], isCertain: false, isForAll: false };
      found.set(key, known);
      if (known.parts.at(-1) !== part) known.parts.push(part);
      if (differences.length > 1) continue;
      known.isCertain = true;
      certain.set(key, (certain.get(key) ?? 0) + 1);
    }
  for (const [key, count] of certain) {
    const known = found.get(key);
    if (known !== undefined) known.isForAll ||= count === all.length;
  }
}

/** The part of an outcome that is not as the configuration says. */
function difference(
  { facts, kept, scope }: Work,
  { family, destination, out }: Packet,
  outcome: TraceOutcome,
  trace: Trace,
): Pick<Found, "by" | "verdict"> | undefined {
  const { verdict, by } = outcome;
  // A packet through another link goes on to the rules of others.
  if (scope !== undefined && out !== undefined && !leavesThroughOurs(scope, out)) return undefined;
  const isKept = includes(kept, destination);
  switch (verdict) {
    case "masquerade":
    case "translate":
      if (by === undefined || isOurs(facts, by)) return undefined;
      return isKept || (verdict === "translate" && !isNodes(facts, family, outcome))
        ? { by, verdict }
        : undefined;
    case "untracked":
    case "unknown":
      return by === undefined || (isKept && verdict === "untracked") ? undefined : { by, verdict };
    case "keep": {
      if (isKept) return undefined;
      const past = pastOurs(facts, family, trace);
      return past === undefined ? undefined : { by: past, verdict };
    }
    default:
      return undefined;
  }
}

/** SNAT to an address of the node shows what MASQUERADE would show. */
export function isNodes({ links }: Facts, family: Family, action: TraceOutcome | Action): boolean {
  const own = known(links)?.own ?? [];
  const targets = ("targets" in action ? action.targets : undefined) ?? [];
  return (
    targets.length > 0 &&
    targets.every(
      ({ addresses }) =>
        addresses !== undefined &&
        addresses.first === addresses.last &&
        own.some((one) => one.family === family && one.address === addresses.first),
    )
  );
}

/** The deviations with their rules, in the order in which packets come to them. */
function describe({ hooks, space, found }: Work): Deviation[] {
  return inOrder(hooks).flatMap((hook) => {
    const chains = reachableChains(hook);
    const here = [...found.values()].filter(
      ({ by, verdict }) => by.place === hook.place && chains.has(by.chain) && canDecide(hook, verdict),
    );
    return here.flatMap(({ by, parts, ...rest }) => {
      const rule = ruleOf(hook, by);
      const from = entranceOf(hook, by);
      if (rule === undefined || from === undefined) return [];
      // Chains in a circle, of which the tracer does not see the end: the kernel refuses them.
      if (rest.verdict === "unknown" && "chain" in rule.action) return [];
      const destinations = parts.flatMap(({ intervals }) => intervals);
      return [{ ...rest, by, rule, from, hook, destinations, family: space.family }];
    });
  });
}

function canDecide({ isNat, hook }: Hook, verdict: Deviation["verdict"]): boolean {
  if (verdict === "untracked") return hook === "ingress" || hook === "prerouting";
  return verdict === "unknown" || (isNat && hook === "postrouting");
}

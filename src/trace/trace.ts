/**
 * Follows a packet from the pod's link through every base chain on its way: the rules that exempt it from conntrack, mark it,
 * translate its destination, drop it, and translate its source. After a translation of the destination, it follows each
 * endpoint from there on.
 *
 * The first chain that translates wins; packets that a chain accepts, or lets fall through, go on to the next (as measured, for chains
 * of one table of iptables and for those of nf_tables alike). The trace follows a rule that may or may not
 * match both ways: it notes the rule's decision as possible, and goes on without it.
 */

import { includes, type LocalAddresses } from "../core/intervals.ts";
import { MANY_ENDPOINTS, redirected, translated } from "./endpoints.ts";
import { inOrder } from "./hooks.ts";
import type { Hook, Packet, Target } from "./model.ts";
import { distinct, type Endpoint, either, ruleKey, type Trace, type TraceOutcome } from "./outcome.ts";
import type { Route } from "./route.ts";
import { commonPrefix, merge, type RuleReference, type State } from "./state.ts";
import { CONNTRACK } from "./verdict.ts";
import { type Effort, type Ending, STEP_LIMIT, walkHook } from "./walk.ts";

/** Facts besides the rules that the caller may know. */
export interface Known {
  /** Undefined: not known. */
  readonly routeOf?: ((packet: Packet) => Route | undefined) | undefined;
  /** The address of the interface that a packet comes in through, to which REDIRECT sends it. Undefined: not known. */
  readonly hereOf?: ((packet: Packet) => bigint | "none" | undefined) | undefined;
  /** Counts the comparisons. */
  readonly effort?: Effort;
  /** Whether the destination is the first of many that the same rules match. */
  readonly isRange?: boolean;
}

interface Way {
  readonly hooks: readonly Hook[];
  readonly local: LocalAddresses;
  readonly routeOf: Known["routeOf"];
  readonly hereOf: Known["hereOf"];
  readonly effort: Effort;
  readonly limit: number;
  readonly isRange: boolean;
}

/** Follows one packet. */
export function tracePacket(
  hooks: readonly Hook[],
  packet: Packet,
  local: LocalAddresses,
  { routeOf, hereOf, effort = { rules: 0 }, isRange = false }: Known = {},
): Trace {
  const own = hooks.filter(({ families }) => families.includes(packet.family));
  const start: State = { packet: { tracking: "not yet", ...packet }, conditions: [] };
  const loose = own.filter(({ isOrderUnknown }) => isOrderUnknown === true);
  const others = own.filter((hook) => !loose.includes(hook));
  const follow = (all: readonly Hook[]) => {
    const way = {
      hooks: inOrder(all),
      local,
      routeOf,
      hereOf,
      effort,
      limit: effort.rules + STEP_LIMIT,
      isRange,
    };
    return traceFrom(way, 0, [start]);
  };
  const trace = follow([...loose, ...others]);
  if (loose.length === 0 || others.length === 0) return trace;
  return either(trace, follow([...others, ...loose]));
}

/** From a hook on, in any of some states. */
function traceFrom(way: Way, at: number, states: readonly State[]): Trace {
  const outcomes: TraceOutcome[] = [];
  const passed: RuleReference[] = [];
  const left = follow(way, at, states, { outcomes, passed });
  const all = distinct([...outcomes, ...left]);
  const otherwise = all.at(-1) ?? { verdict: "unknown", conditions: [] };
  return { possible: all.slice(0, -1), otherwise: { ...otherwise, conditions: [] }, passed };
}

interface Found {
  readonly outcomes: TraceOutcome[];
  readonly passed: RuleReference[];
}

/** Notes the decisions on the way; returns the outcome for the states in which the packet reaches its end. */
function follow(way: Way, from: number, start: readonly State[], found: Found): TraceOutcome[] {
  let states = start;
  for (const [at, hook] of way.hooks.entries()) {
    if (at < from || states.length === 0) continue;
    if (hook.hook !== "ingress" && hook.hook !== "prerouting") states = route(way, states, found);
    const isTracked = hook.hook !== "ingress" && (hook.hook !== "prerouting" || hook.priority >= CONNTRACK);
    if (isTracked) states = states.map(track);
    const comes = states.filter((state) => isOnWay(hook, state));
    if (comes.length === 0) continue;
    const rest = states.filter((state) => !comes.includes(state));
    const passed = hook.isNat && hook.hook === "postrouting" ? found.passed : [];
    const entering = hook.isNat ? comes.map(noteMark) : comes;
    const walked = walkHook(hook, entering, way.local, { ...way, passed });
    end(way, at, walked.endings, found);
    const dropped = hook.policy === "drop" ? walked.returned : [];
    const policy = { place: hook.place, chain: hook.chain };
    found.outcomes.push(
      ...dropped.map(({ conditions }) => ({ verdict: "drop" as const, conditions, policy })),
    );
    const through = dropped.length > 0 ? walked.accepted : [...walked.accepted, ...walked.returned];
    const aside = comes.filter((state) => isUncertain(hook, state));
    states = merge([...rest, ...through, ...aside]);
  }
  return route(way, states, found).map(leave);
}

function track(state: State): State {
  if (state.packet.tracking !== "not yet") return state;
  const { tracking: _, ...packet } = state.packet;
  return { ...state, packet };
}

/** Whether the packet passes this base chain. */
function isOnWay(hook: Hook, state: State): boolean {
  const { packet, way, fate } = state;
  if (hook.hook === "input" && way !== "input") return false;
  if (hook.hook === "forward" && way !== "forward") return false;
  if ((hook.hook === "postrouting" || hook.hook === "egress") && way === "input") return false;
  const device = deviceOf(hook, state);
  if (hook.devices !== undefined && device !== undefined && !hook.devices.includes(device)) return false;
  if (!hook.isNat) return true;
  // NAT is set up once, and never for packets that conntrack does not track, or that belong to no connection.
  return (
    packet.tracking !== "untracked" &&
    packet.tracking !== "invalid" &&
    (hook.hook === "prerouting" ? packet.isTranslated !== true : fate === undefined)
  );
}

function deviceOf({ hook }: Hook, { packet }: State): string | undefined {
  return hook === "ingress" ? packet.in : packet.out;
}

/** Whether the packet may also bypass it. */
function isUncertain(hook: Hook, state: State): boolean {
  return hook.isElsewhere === true || (hook.devices !== undefined && deviceOf(hook, state) === undefined);
}

function noteMark(state: State): State {
  const { mark, unknownMark } = state.packet;
  return mark === undefined || unknownMark !== undefined ? state : { ...state, markBefore: mark };
}

/** The routing decision. */
function route({ local, routeOf }: Way, states: readonly State[], { outcomes }: Found): State[] {
  return states.flatMap((state): State[] => {
    const { packet, way, conditions } = state;
    if (state.isRouted === true) return [state];
    const isLocal =
      way === undefined && (packet.isHere === true || includes(local[packet.family], packet.destination));
    const route = isLocal ? LOCAL : routeOf?.(packet);
    // Whether the socket gets it is up to the route for its mark.
    if (state.proxy !== undefined && route === undefined) {
      outcomes.push({ verdict: "redirect", by: state.proxy, conditions });
      return [];
    }
    if (route?.kind === "none") {
      outcomes.push({ verdict: "drop", conditions, route });
      return [];
    }
    const known = { ...state, isRouted: true as const, ...(route === undefined ? {} : { route }) };
    if (route?.kind === "local" && way === undefined) return [{ ...known, way: "input" }];
    const out = packet.out ?? (route?.kind === "unicast" ? route.out : undefined);
    return [{ ...known, way: way ?? "forward", packet: out === undefined ? packet : { ...packet, out } }];
  });
}

const LOCAL: Route = { kind: "local" };

/** Goes on after each rule that decides. */
function end(way: Way, at: number, endings: readonly Ending[], found: Found): void {
  const redirects = new Map<string, Ending[]>();
  for (const ending of endings) {
    const { verdict, by, state } = ending;
    if (verdict === "redirect") {
      for (const one of settleHere(way, ending, found)) addTo(redirects, ruleKey(by), one);
    } else if (verdict === "masquerade" || verdict === "translate")
      found.outcomes.push(...follow(way, at + 1, [translate(verdict, ending)], found));
    else found.outcomes.push({ verdict, by, conditions: state.conditions });
  }
  for (const group of redirects.values()) {
    found.outcomes.push(redirect(way, at, group));
  }
}

/** `REDIRECT` with the interface's address, if it is known; without one the kernel drops the packet (nf_nat_redirect.c). */
function settleHere({ hereOf }: Way, ending: Ending, { outcomes }: Found): readonly Ending[] {
  const { by, state, targets = [] } = ending;
  if (!targets.some(({ isHere }) => isHere === true)) return [ending];
  const here = hereOf?.(state.packet);
  const why = "no address on the interface that it comes in through";
  if (here === "none") {
    outcomes.push({ verdict: "drop", by, conditions: state.conditions });
    return [];
  }
  if (here === undefined) {
    outcomes.push({ verdict: "drop", by, conditions: [...state.conditions, why] });
    return [ending];
  }
  const known = targets.map(({ isHere, ...target }) =>
    isHere === true ? { ...target, addresses: { first: here, last: here } } : target,
  );
  return [{ ...ending, targets: known }];
}

function translate(verdict: "masquerade" | "translate", { by, state, targets }: Ending): State {
  const { packet, route, markBefore } = state;
  const address = route?.kind === "unicast" ? route.masquerade : undefined;
  const taken: readonly Target[] | undefined =
    verdict === "translate"
      ? targets
      : address === undefined
        ? undefined
        : [{ addresses: { first: address, last: address } }];
  const mark = markBefore === undefined || markBefore === 0 ? {} : { mark: markBefore };
  return { ...state, packet: translated(packet, taken), fate: { verdict, by, targets: taken, ...mark } };
}

/** Follows each endpoint that a rule, or those that it leads to, may choose. */
function redirect(way: Way, at: number, group: readonly Ending[]): TraceOutcome {
  const [first] = group as readonly [Ending, ...Ending[]];
  const conditions = group.reduce(
    (all, { state }) => commonPrefix(all, state.conditions),
    first.state.conditions,
  );
  const places = new Map<string, State[]>();
  let isKnown = true;
  for (const { state, targets, isIpvs } of group) {
    const packets = redirected(state.packet, targets, way.isRange);
    isKnown &&= packets !== undefined;
    for (const packet of packets ?? []) {
      const key = `${packet.isHere === true ? "here" : packet.destination} ${packet.port}`;
      const rest = state.conditions.slice(conditions.length);
      const moved: State = {
        ...state,
        packet,
        conditions: rest,
        ...(isIpvs === true ? { way: "ipvs" } : {}),
      };
      addTo(places, key, moved);
    }
  }
  const outcome = { verdict: "redirect", by: first.by, conditions } as const;
  if (!isKnown || places.size > MANY_ENDPOINTS) return outcome;
  // The elements of a map have no order of their own.
  const endpoints = [...places.values()].map((states) => endpoint(way, at, states)).sort(byPlace);
  return { ...outcome, endpoints };
}

function addTo<T>(groups: Map<string, T[]>, key: string, one: T): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [one]);
  else group.push(one);
}

function byPlace(a: Endpoint, b: Endpoint): number {
  return a.destination < b.destination
    ? -1
    : a.destination > b.destination
      ? 1
      : (a.port ?? 0) - (b.port ?? 0);
}

function endpoint(way: Way, at: number, states: readonly State[]): Endpoint {
  const { destination, isHere, port } = (states[0] as State).packet;
  const trace = traceFrom(way, at + 1, merge(states));
  const here = isHere === undefined ? {} : { isHere };
  return { destination, ...here, ...(port === undefined ? {} : { port }), trace };
}

/** The outcome for a packet that has reached the end of its way. */
function leave({ conditions, fate, route }: State): TraceOutcome {
  const known = { conditions, ...(route === undefined ? {} : { route }) };
  if (fate === undefined) return { verdict: "keep", ...known };
  const { targets, ...rest } = fate;
  return { ...rest, ...known, ...(targets === undefined ? {} : { targets }) };
}

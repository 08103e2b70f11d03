/** Walks one base chain and the chains that it leads to, with the packet in every state that it may be in. */
import type { LocalAddresses } from "../core/intervals.ts";
import { rulesFor } from "./chain-index.ts";
import { matchAll, namesDestination } from "./match.ts";
import { type Action, type Condition, type Hook, type Target, type TraceRule, unknownMark } from "./model.ts";
import { learn, markPacket } from "./packet.ts";
import { addConditions, merge, type RuleReference, type State } from "./state.ts";
import { effectOf } from "./verdict.ts";

/** A rule that decides where the packet goes, or that may; the packet as it is there. */
export interface Ending {
  readonly verdict: "drop" | "masquerade" | "translate" | "redirect" | "unknown";
  readonly by: RuleReference;
  readonly state: State;
  readonly targets?: readonly Target[] | undefined;
  readonly isIpvs?: boolean | undefined;
}

/** How the packet may come out of a base chain. */
export interface Exits {
  readonly endings: readonly Ending[];
  /** Came to the end of the chain, or back from it: its policy decides. */
  readonly returned: readonly State[];
  readonly accepted: readonly State[];
}

/** How many rules were compared so far. */
export interface Effort {
  rules: number;
}

interface Walk {
  readonly hook: Hook;
  readonly local: LocalAddresses;
  readonly endings: Ending[];
  readonly accepted: State[];
  readonly passed: RuleReference[];
  readonly effort: Effort;
  /** When `effort` is too much. */
  readonly limit: number;
  /** Chains that were walked, by how they were entered. */
  readonly walked: Map<string, Walked>;
}

/** Results that the walk can reuse. */
interface Walked {
  readonly endings: readonly Ending[];
  readonly accepted: readonly State[];
  readonly returned: readonly State[];
}

/** Above this number of endings, a different way to the same rules notes none of them again. */
const MANY_ENDINGS = 100_000;

/** A chain of a foreign dump may lead to others in ways that multiply; no node has so many rules. */
export const STEP_LIMIT = 5_000_000;
const DEPTH_LIMIT = 256;

/** Walks a base chain; `passed` gets the rules that certainly let the packet pass. */
export function walkHook(
  hook: Hook,
  states: readonly State[],
  local: LocalAddresses,
  { passed, effort, limit }: Pick<Walk, "passed" | "effort" | "limit">,
): Exits {
  const walk: Walk = { hook, local, endings: [], accepted: [], passed, effort, limit, walked: new Map() };
  const returned = walkChain(walk, states, { chain: hook.chain, depth: 0 });
  return { endings: walk.endings, returned, accepted: merge(walk.accepted) };
}

/** How a chain is entered. */
interface Entrance {
  readonly chain: string;
  readonly depth: number;
  /** The last rule on the way that names destinations or ports, as kube-proxy's for a Service does. */
  readonly origin?: RuleReference | undefined;
}

/** A chain while it is walked. */
interface Frame extends Entrance {
  /** Where the packet is with the next way through the same rule, ... */
  stay: State[];
  /** ... with the next rule, ... */
  readonly next: State[];
  /** ... and in the chain that led here. */
  readonly returned: State[];
}

/** A chain that another leads to. Chains that lead to each other in many ways are walked once for each kind of packet. */
function enterChain(walk: Walk, state: State, entrance: Entrance): readonly State[] {
  const { packet, conditions, proxy } = state;
  const { mark, unknownMark, connection, tracking, source, protocol, port, in: input, out } = packet;
  const { chain, origin } = entrance;
  const key = [
    mark,
    unknownMark,
    connection?.mark,
    connection?.unknown,
    proxy?.chain,
    proxy?.number,
    tracking,
    source,
    protocol,
    port,
    input,
    out,
    chain,
    origin?.chain,
    origin?.number,
  ].join();
  const known = walk.walked.get(key);
  if (known !== undefined) {
    const here = (one: State): State => ({ ...one, conditions });
    if (walk.endings.length + known.endings.length < MANY_ENDINGS)
      for (const one of known.endings) walk.endings.push({ ...one, state: here(one.state) });
    walk.accepted.push(...known.accepted.map(here));
    return known.returned.map(here);
  }
  const before = [walk.endings.length, walk.accepted.length] as const;
  const returned = walkChain(walk, [state], entrance);
  const endings = distinctEndings(walk.endings.slice(before[0]));
  walk.walked.set(key, { endings, accepted: merge(walk.accepted.slice(before[1])), returned });
  return returned;
}

function distinctEndings(endings: readonly Ending[]): Ending[] {
  const keyOf = ({ verdict, by, state: { packet }, targets }: Ending) =>
    [
      verdict,
      by.chain,
      by.number,
      packet.mark,
      packet.unknownMark,
      packet.connection?.mark,
      packet.connection?.unknown,
      packet.tracking,
      targets?.[0]?.addresses?.first,
    ].join();
  return [...new Map(endings.map((one) => [keyOf(one), one])).values()];
}

/** Where the packet comes out at the end. */
function walkChain(walk: Walk, states: readonly State[], entrance: Entrance): State[] {
  const { chain, depth } = entrance;
  const rules = walk.hook.chains.get(chain);
  const [first] = states;
  if (first === undefined) return [];
  if (rules === undefined) return walkMissing(walk, states, chain);
  const frame: Frame = { ...entrance, stay: [...states], next: [], returned: [] };
  let number = 0;
  for (const rule of rulesFor(rules, first.packet.isHere === true ? undefined : first.packet.destination)) {
    if (rule.number !== number && frame.next.length > 0)
      frame.stay = merge([...frame.next.splice(0), ...frame.stay]);
    number = rule.number;
    if (frame.stay.length === 0 && frame.next.length === 0) break;
    const current = frame.stay;
    frame.stay = [];
    walk.effort.rules += current.length;
    if (walk.effort.rules > walk.limit || depth > DEPTH_LIMIT) {
      for (const state of current)
        walk.endings.push({ verdict: "unknown", by: referTo(walk, chain, rule), state });
      return [];
    }
    for (const state of current) takeRule(walk, frame, rule, state);
    if (frame.stay.length > 1) frame.stay = merge(frame.stay);
  }
  return merge([...frame.returned, ...frame.next, ...frame.stay]);
}

/** A chain that does not exist may do anything. */
function walkMissing(walk: Walk, states: readonly State[], chain: string): State[] {
  const by = { place: walk.hook.place, chain, number: 0, text: "" };
  for (const state of states) walk.endings.push({ verdict: "unknown", by, state });
  return [...states];
}

/** Applies one way through a rule. */
function takeRule(walk: Walk, frame: Frame, rule: TraceRule, state: State): void {
  const { answer, depends } = matchAll(rule.conditions, state.packet, walk.local);
  if (answer === "no") {
    frame.stay.push(state);
    return;
  }
  const { action } = rule;
  if (answer === "maybe") frame.stay.push(passesBy(state, action, depends));
  const known = answer === "maybe" ? learn(state.packet, depends) : state.packet;
  const packet = (rule.marks ?? []).reduce(markPacket, known);
  const by = referTo(walk, frame.chain, rule);
  const proxy = rule.marks?.some(({ isProxy }) => isProxy) === true ? { proxy: by } : {};
  const taken = { ...state, packet, conditions: addConditions(state.conditions, depends), ...proxy };
  const origin = namesDestination(rule.conditions) ? by : frame.origin;
  switch (action.kind) {
    case "continue":
      frame.stay.push(taken);
      return;
    case "mark":
      frame.stay.push({
        ...taken,
        packet: markPacket(packet, action.change),
        ...(action.change.isProxy === true ? { proxy: by } : {}),
      });
      return;
    case "jump":
    case "goto": {
      const back = enterChain(walk, taken, { chain: action.chain, depth: frame.depth + 1, origin });
      (action.kind === "jump" ? frame.next : frame.returned).push(...back);
      return;
    }
    case "return":
    case "accept":
      if (taken.conditions.length === 0 && answer === "yes") walk.passed.push(by);
      (action.kind === "return" ? frame.returned : walk.accepted).push(taken);
      return;
    default:
      decide(walk, frame, action, { state: taken, by, origin });
  }
}

/** The packet if it does not match; only a packet that would have left the chain is worth reporting. */
function passesBy(state: State, { kind }: Action, depends: readonly Condition[]): State {
  if (kind !== "return" && kind !== "accept") return state;
  const texts = depends.map(({ text }) => text).join(" ");
  const isChance = depends.every((one) => one.kind === "chance");
  return isChance
    ? state
    : {
        ...state,
        conditions: addConditions(state.conditions, [
          { kind: "unknown", text: `not (${texts})`, negated: false },
        ]),
      };
}

interface Decision {
  readonly state: State;
  readonly by: RuleReference;
  readonly origin: RuleReference | undefined;
}

function decide(
  { hook, endings }: Walk,
  { stay }: Frame,
  action: Extract<Action, { kind: Parameters<typeof effectOf>[0] }>,
  { state, by, origin }: Decision,
): void {
  const effect = effectOf(action.kind, hook);
  if (effect === "none") {
    stay.push(state);
    return;
  }
  if (effect === "untracked") {
    stay.push({
      ...state,
      packet: { ...state.packet, tracking: "untracked" },
      fate: { verdict: effect, by },
    });
    return;
  }
  // Before source NAT, the rule that names the destination says more than a chain that many rules lead to.
  const isBefore = !hook.isNat || hook.hook !== "postrouting";
  const targets = "targets" in action ? action.targets : undefined;
  const isIpvs = "isIpvs" in action ? action.isIpvs : undefined;
  endings.push({ verdict: effect, by: (isBefore ? origin : undefined) ?? by, state, targets, isIpvs });
  // It may have decided, or not, and changed the packet.
  if (effect === "unknown")
    stay.push({
      ...state,
      packet: action.kind === "unknown" ? markPacket(state.packet, unknownMark()) : state.packet,
    });
}

function referTo({ hook }: Walk, chain: string, { number, text }: TraceRule): RuleReference {
  return { place: hook.place, chain, number, text };
}

/**
 * Where the packet may be, and how: a rule that may or may not match splits a state into two. States that
 * agree in everything that later rules look at merge again, so that there are never many.
 */

import type { Condition, Packet, Target } from "./model.ts";
import { joinPackets } from "./packet.ts";
import type { Route } from "./route.ts";

/** A rule and its place. */
export interface RuleReference {
  readonly place: string;
  readonly chain: string;
  readonly number: number;
  readonly text: string;
}

/** Source NAT, or an exemption from it: decided by a rule, and shown once the packet has left. */
export interface Fate {
  readonly verdict: "masquerade" | "translate" | "untracked";
  readonly by: RuleReference;
  readonly targets?: readonly Target[] | undefined;
  /** The packet's mark, where it is known and not 0, as it came to the base chain that decides. */
  readonly mark?: number;
}

export interface State {
  readonly packet: Packet;
  /** The conditions for the packet to arrive in this state; none means that it certainly does. */
  readonly conditions: readonly string[];
  readonly fate?: Fate;
  /** Whether it is for this node; undefined before the routing decision. IPVS sends packets on from where they are for the node. */
  readonly way?: "input" | "forward" | "ipvs";
  readonly isRouted?: true;
  /** The rule that has handed it to a socket of this node, if its route leads there (TPROXY). */
  readonly proxy?: RuleReference;
  readonly route?: Route;
  /** The mark with which it came to the base chain that it is in, if that is known. */
  readonly markBefore?: number;
}

/** More are not told apart by their marks. */
const MANY = 8;

/** More conditions would not help a reader. */
const MANY_CONDITIONS = 32;

/** Conditions with one more. */
export function addConditions(conditions: readonly string[], more: readonly Condition[]): readonly string[] {
  const texts = more.flatMap((one) => (one.kind === "chance" ? [] : one.text));
  return texts.length === 0 || conditions.length > MANY_CONDITIONS ? conditions : [...conditions, ...texts];
}

/** As few states as say the same. */
export function merge(states: readonly State[]): State[] {
  if (states.length < 2) return [...states];
  const exact = mergeBy(states, ({ packet: { mark, unknownMark, connection } }) =>
    [mark, unknownMark, connection?.mark, connection?.unknown].join(" "),
  );
  return exact.length > MANY ? mergeBy(exact, () => "") : exact;
}

function mergeBy(states: readonly State[], markOf: (state: State) => string): State[] {
  const merged = new Map<string, State>();
  for (const state of states) {
    const { packet, fate, way, proxy } = state;
    const rules = [fate?.by, proxy].flatMap((by) => [by?.chain, by?.number]);
    const key = [markOf(state), packet.tracking, packet.out, ...rules, way].join();
    const other = merged.get(key);
    merged.set(key, other === undefined ? state : join(other, state));
  }
  return [...merged.values()];
}

function join(a: State, b: State): State {
  return {
    ...a,
    packet: joinPackets(a.packet, b.packet),
    conditions: commonPrefix(a.conditions, b.conditions),
  };
}

/** The conditions that both depend on. */
export function commonPrefix(a: readonly string[], b: readonly string[]): readonly string[] {
  const differ = a.findIndex((text, i) => text !== b[i]);
  return differ < 0 ? a : a.slice(0, differ);
}

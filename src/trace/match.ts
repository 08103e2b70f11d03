/** Whether a packet matches a rule's conditions, as far as we know the packet. */

import {
  type Interval,
  includes,
  type LocalAddresses,
  meetIntervals,
  subtractIntervals,
} from "../core/intervals.ts";
import type { Condition, Packet, Side } from "./model.ts";
import { hasPorts } from "./protocols.ts";

export type Certainty = "yes" | "no" | "maybe";

/** Whether all conditions are met, and if that is not known, those on which it depends. */
export function matchAll(
  conditions: readonly Condition[],
  packet: Packet,
  local: LocalAddresses,
): { readonly answer: Certainty; readonly depends: readonly Condition[] } {
  const depends: Condition[] = [];
  for (const condition of conditions) {
    const answer = match(condition, packet, local);
    if (answer === "no") return { answer, depends: [] };
    if (answer === "maybe") depends.push(condition);
  }
  return { answer: depends.length === 0 ? "yes" : "maybe", depends };
}

function match(condition: Condition, packet: Packet, local: LocalAddresses): Certainty {
  const met = isMet(condition, packet, local);
  if (met === undefined) return "maybe";
  return met === condition.negated ? "no" : "yes";
}

/** Undefined: not known. */
function isMet(condition: Condition, packet: Packet, local: LocalAddresses): boolean | undefined {
  switch (condition.kind) {
    case "address": {
      // An address of the other family is not in the list, and not among the remaining addresses either.
      if (condition.family !== packet.family) return condition.negated;
      if (condition.isOriginal === true && packet.tracking !== undefined) return condition.negated;
      return isAmong(packet, condition.side, condition.intervals, condition.isOriginal);
    }
    case "bits": {
      if (condition.family !== packet.family) return condition.negated;
      // A question is about an interval of destinations, which have different bits.
      const address = condition.side === "source" ? packet.source : undefined;
      return address === undefined ? undefined : (address & condition.mask) === condition.value;
    }
    case "local":
      if (condition.side === "destination" && packet.isHere === true) return true;
      return isAmong(packet, condition.side, local[packet.family]);
    case "family":
      return condition.family === packet.family;
    case "protocol":
      return packet.protocol === undefined ? undefined : condition.protocols.includes(packet.protocol);
    case "port":
      return matchPort(condition, packet);
    case "in":
    case "out":
      return matchInterface(condition.names, packet[condition.kind]);
    case "mark":
      return condition.isConnections === true
        ? matchConnectionMark(condition, packet)
        : matchMark(condition, packet);
    case "connection":
      return packet.tracking === undefined ? condition.holds : condition.negated;
    case "state":
      return matchState(condition.states, packet);
    case "either":
      return matchEither(condition.lists, packet, local);
    case "chance":
    case "unknown":
      return undefined;
  }
}

function isAmong(
  packet: Packet,
  side: Side,
  intervals: readonly Interval[],
  isOriginal = false,
): boolean | undefined {
  const address = addressOf(packet, side, isOriginal);
  if (address !== undefined) return includes(intervals, address);
  const { sources } = packet;
  if (sources === undefined || side === "destination" || (isOriginal && packet.original !== undefined))
    return undefined;
  const before = compared.get(intervals);
  if (before?.sources === sources) return before.answer;
  const outside = subtractIntervals(sources, intervals);
  const isMet = meetIntervals(sources, intervals).length > 0;
  const answer = isMet ? (outside.length === 0 ? true : undefined) : false;
  compared.set(intervals, { sources, answer });
  return answer;
}

function addressOf(packet: Packet, side: Side, isOriginal: boolean): bigint | undefined {
  if (isOriginal && packet.original !== undefined) return packet.original[side];
  if (side === "source") return packet.source;
  return packet.isHere === true ? undefined : packet.destination;
}

/** A set of 100,000 sources is compared once for a whole look through the addresses, not for each packet. */
const compared = new WeakMap<
  readonly Interval[],
  { readonly sources: readonly Interval[]; readonly answer: boolean | undefined }
>();

function matchPort(
  { side, ranges, isOriginal, negated }: Extract<Condition, { kind: "port" }>,
  packet: Packet,
): boolean | undefined {
  if (isOriginal === true && packet.tracking !== undefined) return negated;
  const { protocol } = packet;
  const { port } = (isOriginal === true ? packet.original : undefined) ?? packet;
  if (protocol !== undefined && !hasPorts(protocol)) return false;
  if (side === "source" || port === undefined) return undefined;
  if (!ranges.some(({ first, last }) => first <= port && port <= last)) return false;
  return protocol === undefined ? undefined : true;
}

function matchInterface(names: readonly string[], name: string | undefined): boolean | undefined {
  return name === undefined ? undefined : names.some((pattern) => isNamed(pattern, name));
}

function isNamed(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** A packet without a connection matches neither a mark nor its opposite. */
function matchConnectionMark(
  condition: Extract<Condition, { kind: "mark" }>,
  { tracking, connection = { mark: 0, unknown: 0 } }: Packet,
): boolean | undefined {
  if (tracking !== undefined) return condition.negated;
  return matchMark(condition, { mark: connection.mark, unknownMark: connection.unknown });
}

function matchMark(
  { value, mask }: { value: number; mask: number },
  { mark, unknownMark = 0 }: Pick<Packet, "mark" | "unknownMark">,
): boolean | undefined {
  // No mark can have bits that the mask does not.
  if ((value & ~mask) !== 0) return false;
  if (mask === 0) return true;
  if (mark === undefined) return undefined;
  if (((mark ^ value) & mask & ~unknownMark) !== 0) return false;
  return (mask & unknownMark) === 0 ? true : undefined;
}

/** The first packet of a flow is new; before conntrack sees it, rules find it invalid. It is not related to another flow. */
function matchState(
  states: readonly string[],
  { tracking, isTranslated = false }: Packet,
): boolean | undefined {
  const actual = tracking === undefined ? "new" : tracking === "untracked" ? tracking : "invalid";
  if (states.includes(actual) || (isTranslated && states.includes("dnat"))) return true;
  return states.some((state) => !STATES.includes(state)) ? undefined : false;
}

/** States, and conntrack's `status` bits, that we know the packet has or lacks. */
const STATES = ["new", "established", "related", "invalid", "untracked", "snat", "dnat"];

function matchEither(
  lists: readonly (readonly Condition[])[],
  packet: Packet,
  local: LocalAddresses,
): boolean | undefined {
  let answer: boolean | undefined = false;
  for (const list of lists) {
    const one = matchAll(list, packet, local).answer;
    if (one === "yes") return true;
    if (one === "maybe") answer = undefined;
  }
  return answer;
}

/** Whether a rule with these conditions is about certain destinations, or ports of them, as one for a Service. */
export function namesDestination(conditions: readonly Condition[]): boolean {
  return conditions.some(
    (one) =>
      !one.negated &&
      ((one.kind === "address" && one.side === "destination" && !isEverything(one.intervals)) ||
        ((one.kind === "local" || one.kind === "port") && one.side === "destination") ||
        (one.kind === "either" && one.lists.some(namesDestination))),
  );
}

function isEverything([first, ...more]: readonly Interval[]): boolean {
  return first?.first === 0n && first.last >= 0xffffffffn && more.length === 0;
}

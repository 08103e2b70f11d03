/**
 * Which entries the agent may delete. A connection keeps the decision of its first packet, so a decision that has become wrong
 * lasts until its entry is deleted. Never TCP for having had no answer, never an answered flow, never one of the node itself, and
 * never one that others have translated.
 */
import type { Family } from "../core/cidr.ts";
import { PROTOCOLS } from "../netlink/constants.ts";
import { familyOf, type PackedAddress } from "./address.ts";
import type { Condition } from "./condition.ts";
import { ICMP, STATUS } from "./constants.ts";
import type { Flow } from "./flow.ts";

/** The rules in force and the node's addresses, as questions about packets. */
export interface Verdicts {
  /** Whether it is one of the node's own addresses. */
  readonly isLocal: (address: PackedAddress) => boolean;
  /** Whether our rules masquerade packets from this source to this destination. */
  readonly masquerades: (source: PackedAddress, destination: PackedAddress) => boolean;
}

const UNTOUCHED = STATUS.SEEN_REPLY | STATUS.SRC_NAT | STATUS.DST_NAT;

/** UDP, and ICMP, whose flows begin with a request such as an echo. TCP begins again by itself. */
function isForgetful(family: Family, protocol: number): boolean {
  return protocol === PROTOCOLS.udp || protocol === ICMP[family];
}

/**
 * The question for the kernel: a superset of the flows without an answer, of both families and all protocols. Each list walks all
 * buckets of the table, which takes 10 ms even when it is empty: one list of somewhat more is cheaper than four.
 */
export const UNANSWERED: Condition = { status: { value: 0, mask: UNTOUCHED } };

/** Whether it is a flow that nobody has answered or translated, although our rules masquerade its packets. */
export function isUnanswered({ original, status }: Flow, { isLocal, masquerades }: Verdicts): boolean {
  const { source, destination, protocol } = original;
  if (status === undefined || (status & UNTOUCHED) !== 0) return false;
  if (!isForgetful(familyOf(source), protocol)) return false;
  return !isLocal(source) && !isLocal(destination) && masquerades(source, destination);
}

/** The question for the kernel: a superset of the flows that leave as an address. Its filter of IPv6 addresses is inverted (condition.ts). */
export function leavingConditions(family: Family, addresses: readonly PackedAddress[]): readonly Condition[] {
  const status = { value: STATUS.SRC_NAT, mask: STATUS.SRC_NAT };
  if (family === "IPv6") return [{ family, status }];
  return addresses.map((destination) => ({ family, reply: { destination }, status }));
}

/** Whether it is a flow that leaves as one of these addresses, because our rules masquerade its packets. */
export function leavesAs(
  { original, reply, status = 0 }: Flow,
  addresses: ReadonlySet<PackedAddress>,
  { isLocal, masquerades }: Verdicts,
): boolean {
  const { source } = original;
  if ((status & STATUS.SRC_NAT) === 0 || !addresses.has(reply.destination)) return false;
  if (addresses.has(source) || isLocal(source)) return false;
  // Behind a Service, the endpoint.
  return masquerades(source, reply.source);
}

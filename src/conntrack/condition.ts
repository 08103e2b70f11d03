/**
 * Selects entries. The kernel filters by tuple since 5.8 and by status since 5.15; an older one ignores the attributes and
 * answers with everything. Its filter by an IPv6 address is inverted (6.18 leaves out what matches), so we never send one.
 * Therefore we apply the whole condition to each entry again.
 */
import type { Family } from "../core/cidr.ts";
import { putBytes, putNest, putU32, type Writer } from "../netlink/attributes.ts";
import { PROTOCOLS } from "../netlink/constants.ts";
import { familyOf, type PackedAddress, unpackBytes } from "./address.ts";
import { CTA, CTA_FILTER, CTA_IP, CTA_PROTO, CTA_TUPLE, FILTER_FLAG } from "./constants.ts";
import type { Flow, Tuple } from "./flow.ts";

/** Fields that are undefined match anything. */
export interface Condition {
  /** Not needed beside an address. */
  readonly family?: Family;
  /** Fields of the reply's direction. */
  readonly reply?: Partial<Tuple>;
  /** Bits of the status, with their values. */
  readonly status?: { readonly value: number; readonly mask: number };
}

/** The part that we leave to the kernel: for IPv6 no address; ports only with a protocol, as it requires. */
export function kernelPart({ family, reply = {}, status }: Condition): Condition {
  const { source, destination, protocol, sourcePort, destinationPort } = reply;
  const isIpv4 = (address: PackedAddress | undefined) =>
    address !== undefined && familyOf(address) === "IPv4";
  const asked: Partial<Tuple> = {
    ...(source !== undefined && isIpv4(source) && { source }),
    ...(destination !== undefined && isIpv4(destination) && { destination }),
    ...(protocol !== undefined && { protocol }),
    ...(protocol !== undefined && sourcePort !== undefined && { sourcePort }),
    ...(protocol !== undefined && destinationPort !== undefined && { destinationPort }),
  };
  return {
    ...(family !== undefined && { family }),
    ...(Object.keys(asked).length > 0 && { reply: asked }),
    ...(status !== undefined && { status }),
  };
}

/** Whether an entry matches. */
export function fits(flow: Flow, { family, reply, status }: Condition): boolean {
  if (family !== undefined && familyOf(flow.reply.source) !== family) return false;
  if (status !== undefined && ((flow.status ?? 0) & status.mask) !== status.value) return false;
  return reply === undefined || fitsTuple(flow.reply, reply);
}

function fitsTuple(tuple: Tuple, wanted: Partial<Tuple>): boolean {
  return (
    (wanted.source === undefined || wanted.source === tuple.source) &&
    (wanted.destination === undefined || wanted.destination === tuple.destination) &&
    (wanted.protocol === undefined || wanted.protocol === tuple.protocol) &&
    (wanted.sourcePort === undefined || wanted.sourcePort === tuple.sourcePort) &&
    (wanted.destinationPort === undefined || wanted.destinationPort === tuple.destinationPort)
  );
}

/** Whether an entry shows that the kernel ignores the filter. It compares ports of TCP and UDP only. */
export function isUnasked(flow: Flow, asked: Condition): boolean {
  if (asked.reply?.protocol !== PROTOCOLS.sctp) return !fits(flow, asked);
  const { sourcePort: _, destinationPort: __, ...reply } = asked.reply;
  return !fits(flow, { ...asked, reply });
}

/** Writes the filter for the kernel. */
export function putCondition(writer: Writer, { reply, status }: Condition): void {
  if (reply !== undefined) {
    putTuple(writer, reply);
    putNest(writer, CTA.FILTER, () => {
      putBytes(writer, CTA_FILTER.ORIG_FLAGS, flagBytes(0));
      putBytes(writer, CTA_FILTER.REPLY_FLAGS, flagBytes(flagsOf(reply)));
    });
  }
  if (status === undefined) return;
  putU32(writer, CTA.STATUS, status.value);
  putU32(writer, CTA.STATUS_MASK, status.mask);
}

/** Writes the reply's direction, as far as it is known. */
export function putTuple(writer: Writer, reply: Partial<Tuple>): void {
  const { source, destination, protocol, sourcePort, destinationPort } = reply;
  const isIpv6 = familyOf(source ?? destination ?? "") === "IPv6" && (source ?? destination) !== undefined;
  putNest(writer, CTA.TUPLE_REPLY, () => {
    if (source !== undefined || destination !== undefined)
      putNest(writer, CTA_TUPLE.IP, () => {
        if (source !== undefined)
          putBytes(writer, isIpv6 ? CTA_IP.V6_SRC : CTA_IP.V4_SRC, unpackBytes(source));
        if (destination !== undefined)
          putBytes(writer, isIpv6 ? CTA_IP.V6_DST : CTA_IP.V4_DST, unpackBytes(destination));
      });
    if (protocol === undefined) return;
    putNest(writer, CTA_TUPLE.PROTO, () => {
      putBytes(writer, CTA_PROTO.NUM, Uint8Array.of(protocol));
      if (sourcePort !== undefined) putBytes(writer, CTA_PROTO.SRC_PORT, portBytes(sourcePort));
      if (destinationPort !== undefined) putBytes(writer, CTA_PROTO.DST_PORT, portBytes(destinationPort));
    });
  });
}

function flagsOf(reply: Partial<Tuple>): number {
  return (
    (reply.source === undefined ? 0 : FILTER_FLAG.IP_SRC) |
    (reply.destination === undefined ? 0 : FILTER_FLAG.IP_DST) |
    (reply.protocol === undefined ? 0 : FILTER_FLAG.PROTO_NUM) |
    (reply.sourcePort === undefined ? 0 : FILTER_FLAG.SRC_PORT) |
    (reply.destinationPort === undefined ? 0 : FILTER_FLAG.DST_PORT)
  );
}

/** Alone among ctnetlink's numbers, these are in the machine's byte order (little-endian: attributes.ts). */
function flagBytes(flags: number): Uint8Array {
  return Uint8Array.of(flags, 0, 0, 0);
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 255);
}

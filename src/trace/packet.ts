/** Updates our knowledge of a packet after a rule that may change its mark, or that it may have matched. */
import type { Condition, MarkChange, Packet } from "./model.ts";

/** The packet after a change. */
export function markPacket(packet: Packet, { and, xor, unknown = 0 }: MarkChange): Packet {
  const { mark, unknownMark = 0, ...rest } = packet;
  const before =
    mark === undefined ? { value: 0, unknown: 0xffffffff } : { value: mark, unknown: unknownMark };
  const left = ((before.unknown & and) | unknown) >>> 0;
  if (left === 0xffffffff) return rest;
  const known = { ...rest, mark: (((before.value & and) ^ xor) & ~left) >>> 0 };
  return left === 0 ? known : { ...known, unknownMark: left };
}

/** A packet that is one of two: the parts that differ are not known, or of a mark the bits that differ. */
export function joinPackets(a: Packet, b: Packet): Packet {
  const { mark: _, unknownMark: __, source, protocol, port, in: input, out, ...common } = a;
  const rest: Packet = {
    ...common,
    ...(source !== undefined && source === b.source ? { source } : {}),
    ...(protocol !== undefined && protocol === b.protocol ? { protocol } : {}),
    ...(port !== undefined && port === b.port ? { port } : {}),
    ...(input !== undefined && input === b.in ? { in: input } : {}),
    ...(out !== undefined && out === b.out ? { out } : {}),
  };
  if (a.mark === undefined || b.mark === undefined) return rest;
  const unknown = ((a.unknownMark ?? 0) | (b.unknownMark ?? 0) | (a.mark ^ b.mark)) >>> 0;
  if (unknown === 0xffffffff) return rest;
  const mark = (a.mark & ~unknown) >>> 0;
  return unknown === 0 ? { ...rest, mark } : { ...rest, mark, unknownMark: unknown };
}

/** The packet if it matches conditions that were undecided. */
export function learn(packet: Packet, depends: readonly Condition[]): Packet {
  return Object.assign({}, packet, ...depends.map(lesson)) as Packet;
}

function lesson(condition: Condition): Partial<Packet> {
  if (condition.negated) return {};
  switch (condition.kind) {
    case "protocol": {
      const [protocol, ...more] = condition.protocols;
      return protocol === undefined || more.length > 0 ? {} : { protocol };
    }
    case "port": {
      const [range, ...more] = condition.ranges;
      const isOne = range !== undefined && more.length === 0 && range.first === range.last;
      return isOne && condition.side === "destination" ? { port: range.first } : {};
    }
    case "address": {
      const [interval, ...more] = condition.intervals;
      const isOne = interval !== undefined && more.length === 0 && interval.first === interval.last;
      return isOne && condition.side === "source" ? { source: interval.first } : {};
    }
    case "in":
    case "out": {
      const [name = "*", ...more] = condition.names;
      return name.endsWith("*") || more.length > 0 ? {} : { [condition.kind]: name };
    }
    default:
      return {};
  }
}

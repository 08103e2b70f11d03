/** Updates our knowledge of a packet after a rule that may change its mark, or that it may have matched. */
import type { Condition, MarkChange, Packet } from "./model.ts";

/** The packet after a change. */
export function markPacket(packet: Packet, change: MarkChange): Packet {
  const { mark, unknownMark = 0, connection = NEW, ...rest } = packet;
  const { take = 0, isConnections = false } = change;
  if (packet.tracking !== undefined && (isConnections || take !== 0)) return packet;
  const own = mark === undefined ? { mark: 0, unknown: 0xffffffff } : { mark, unknown: unknownMark };
  if (isConnections) return { ...packet, connection: changed(connection, own, change) };
  const { mark: value, unknown } = changed(own, connection, change);
  const same = packet.connection === undefined ? rest : { ...rest, connection };
  if (unknown === 0xffffffff) return same;
  return unknown === 0 ? { ...same, mark: value } : { ...same, mark: value, unknownMark: unknown };
}

type Bits = NonNullable<Packet["connection"]>;

/** The mark of a connection that its first packet has just begun. */
const NEW: Bits = { mark: 0, unknown: 0 };

function changed(mark: Bits, other: Bits, { and, xor, take = 0, unknown = 0 }: MarkChange): Bits {
  const left = ((mark.unknown & and) | (other.unknown & take) | unknown) >>> 0;
  return { mark: (((mark.mark & and) ^ (other.mark & take) ^ xor) & ~left) >>> 0, unknown: left };
}

/** A packet that is one of two: the parts that differ are not known, or of a mark the bits that differ. */
export function joinPackets(a: Packet, b: Packet): Packet {
  const {
    mark: _,
    unknownMark: __,
    connection,
    original,
    source,
    protocol,
    port,
    in: input,
    out,
    ...common
  } = a;
  const rest: Packet = {
    ...common,
    ...(source !== undefined && source === b.source ? { source } : {}),
    ...(protocol !== undefined && protocol === b.protocol ? { protocol } : {}),
    ...(port !== undefined && port === b.port ? { port } : {}),
    ...(input !== undefined && input === b.in ? { in: input } : {}),
    ...(out !== undefined && out === b.out ? { out } : {}),
    ...(connection === undefined && b.connection === undefined
      ? {}
      : { connection: joinBits(connection ?? NEW, b.connection ?? NEW) }),
    ...(original === undefined ? {} : { original }),
  };
  if (a.mark === undefined || b.mark === undefined) return rest;
  const unknown = ((a.unknownMark ?? 0) | (b.unknownMark ?? 0) | (a.mark ^ b.mark)) >>> 0;
  if (unknown === 0xffffffff) return rest;
  const mark = (a.mark & ~unknown) >>> 0;
  return unknown === 0 ? { ...rest, mark } : { ...rest, mark, unknownMark: unknown };
}

function joinBits(a: Bits, b: Bits): Bits {
  const unknown = (a.unknown | b.unknown | (a.mark ^ b.mark)) >>> 0;
  return { mark: (a.mark & ~unknown) >>> 0, unknown };
}

/** The packet if it matches conditions that were undecided. */
export function learn(packet: Packet, depends: readonly Condition[]): Packet {
  return Object.assign({}, packet, ...depends.map(lesson)) as Packet;
}

function lesson(condition: Condition): Partial<Packet> {
  if (condition.negated || "isOriginal" in condition) return {};
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

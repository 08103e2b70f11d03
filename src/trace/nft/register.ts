/**
 * Translates comparisons of nf_tables into conditions: a part of the packet, or a fact about it, was loaded into
 * registers of 4 bytes, perhaps masked, and is compared there. Comparisons beyond a few well-known ones are unknown.
 */
import type { Family } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import { FAMILIES, META, PAYLOAD_NETWORK_HEADER, PAYLOAD_TRANSPORT_HEADER } from "../../netlink/constants.ts";
import { type Condition, constant, type PortRange, type Side } from "../model.ts";
import { protocolName } from "../protocols.ts";

export interface Payload {
  readonly kind: "payload";
  readonly base: number;
  readonly offset: number;
  readonly family: Family | undefined;
}

/** The source of a loaded value. `family` is the family of the packets that reach the expression, if it is known. */
export type Source =
  | Payload
  | { readonly kind: "meta"; readonly key: number }
  | {
      readonly kind: "ct";
      readonly key: number;
      readonly isOriginal?: true;
      readonly family?: Family | undefined;
    }
  | { readonly kind: "fib"; readonly side: Side }
  /** Whether the way back to the packet's source leads where it comes from. */
  | { readonly kind: "way back" }
  /** A number below the modulus, chosen at random, in turn, or by a hash. */
  | { readonly kind: "chance"; readonly modulus: number }
  /** The entries of a map; each value is for packets that match conditions. */
  | { readonly kind: "map"; readonly name: string; readonly entries: readonly Entry[] }
  | { readonly kind: "value"; readonly bytes: Uint8Array }
  | { readonly kind: "other"; readonly name: string };

export interface Entry {
  readonly conditions: readonly Condition[];
  readonly value: Uint8Array;
}

/** The content of registers: `(source & mask) ^ xor`. */
export interface Loaded {
  readonly source: Source;
  readonly length: number;
  readonly mask?: Uint8Array | undefined;
  readonly xor?: Uint8Array | undefined;
}

/** Values as the registers have them, both ends included. */
export interface Range {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** `NFT_META_*` and `NFT_CT_*` of linux/netfilter/nf_tables.h. */
export const META_KEYS = { ...META, PROTOCOL: 1, MARK: 3, IIF: 4, IIFNAME: 6, OIFNAME: 7 } as const;
/** RTN_LOCAL of linux/rtnetlink.h. */
const LOCAL = 2;

const ETHER_TYPES: Readonly<Record<number, Family>> = { 2048: "IPv4", 34525: "IPv6" };
const NFPROTO: Readonly<Record<number, Family>> = { [FAMILIES.ip]: "IPv4", [FAMILIES.ip6]: "IPv6" };

/** Where addresses and the protocol are in a header of the network layer. */
export const FIELDS: Readonly<
  Record<Family, readonly { name: Side | "protocol"; offset: number; bytes: number }[]>
> = {
  IPv4: [
    { name: "protocol", offset: 9, bytes: 1 },
    { name: "source", offset: 12, bytes: 4 },
    { name: "destination", offset: 16, bytes: 4 },
  ],
  IPv6: [
    { name: "protocol", offset: 6, bytes: 1 },
    { name: "source", offset: 8, bytes: 16 },
    { name: "destination", offset: 24, bytes: 16 },
  ],
};

type Head = Pick<Condition, "text" | "negated">;

/** The parts of a value that nft loads at once from adjacent fields, each with its offset. */
export function splitLoaded(loaded: Loaded): readonly { readonly part: Loaded; readonly at: number }[] {
  const { source, length } = loaded;
  const whole = [{ part: loaded, at: 0 }];
  if (source.kind !== "payload" || source.base !== PAYLOAD_NETWORK_HEADER || source.family === undefined)
    return whole;
  const end = source.offset + length;
  const inside = FIELDS[source.family].filter(
    ({ offset }) => offset >= source.offset && offset < end && offset !== source.offset,
  );
  if (inside.length === 0 || loaded.mask !== undefined) return whole;
  const starts = [source.offset, ...inside.map(({ offset }) => offset)];
  return starts.map((offset, i) => ({
    part: { source: { ...source, offset }, length: (starts[i + 1] ?? end) - offset },
    at: offset - source.offset,
  }));
}

/** Whether writing there changes an address, and which. */
export function addressIn(base: number, offset: number, length: number, family: Family): Side | undefined {
  if (base !== PAYLOAD_NETWORK_HEADER) return undefined;
  const hit = FIELDS[family].filter(
    ({ name, offset: at, bytes }) => name !== "protocol" && offset < at + bytes && at < offset + length,
  );
  return hit.some(({ name }) => name === "destination")
    ? "destination"
    : hit.length > 0
      ? "source"
      : undefined;
}

/** The condition that the loaded value is in one of `ranges`; undefined if we do not know such a condition. */
export function readQuestion(head: Head, loaded: Loaded, ranges: readonly Range[]): Condition | undefined {
  const { source, xor } = loaded;
  if (xor?.some(Boolean) === true) return undefined;
  switch (source.kind) {
    case "payload":
      return readPayload(head, source, loaded, ranges);
    case "meta":
      return readMeta(head, source.key, loaded, ranges);
    case "fib": {
      const [value] = singles(ranges) ?? [];
      const isLocal = ranges.length === 1 && value !== undefined && littleEndian(value) === LOCAL;
      return isLocal && loaded.mask === undefined ? { ...head, kind: "local", side: source.side } : undefined;
    }
    case "way back": {
      // 0 means that there is no way back; for packets from a pod's link it is the way that they came.
      const [value] = singles(ranges) ?? [];
      const isNone = value?.every((byte) => byte === 0);
      return isNone === true ? { ...constant(head.text, false), negated: head.negated } : undefined;
    }
    case "chance":
      return { ...head, negated: false, kind: "chance" };
    default:
      return undefined;
  }
}

function readPayload(
  head: Head,
  { base, offset, family }: Payload,
  { length, mask }: Loaded,
  ranges: readonly Range[],
): Condition | undefined {
  if (base === PAYLOAD_TRANSPORT_HEADER) return readPort(head, offset, length, mask, ranges);
  if (base !== PAYLOAD_NETWORK_HEADER || family === undefined) return undefined;
  const field = FIELDS[family].find((one) => one.offset === offset && length <= one.bytes);
  if (field === undefined) return undefined;
  if (field.name === "protocol") return mask === undefined ? readProtocol(head, ranges) : undefined;
  const values = singles(ranges);
  if (mask !== undefined && values === undefined) return undefined;
  if (mask !== undefined && addressMask(mask, length, field.bytes) === undefined) {
    const shift = BigInt((field.bytes - length) * 8);
    const [value, ...more] = values ?? [];
    if (value === undefined || more.length > 0) return undefined;
    const [bits, wanted] = [mask, value].map((one) => bigEndian(one) << shift) as [bigint, bigint];
    return { ...head, kind: "bits", side: field.name, family, mask: bits, value: wanted };
  }
  const intervals = addressesOf({ length, mask }, field.bytes, ranges);
  return intervals && { ...head, kind: "address", side: field.name, family, intervals };
}

/** The addresses of so many bytes whose first `length` are in one of the ranges, sorted. */
export function addressesOf(
  { length, mask }: Pick<Loaded, "length" | "mask">,
  bytes: number,
  ranges: readonly Range[],
): Interval[] | undefined {
  const free = addressMask(mask, length, bytes);
  if (free === undefined || (mask !== undefined && singles(ranges) === undefined)) return undefined;
  const shift = BigInt((bytes - length) * 8);
  const intervals = ranges.map(({ from, to }) => ({
    first: bigEndian(from) << shift,
    last: (bigEndian(to) << shift) | free,
  }));
  return intervals.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
}

/** Where TCP has its flags; the first packet of a connection has SYN alone. */
const TCP_FLAGS = 13;
const SYN = 2;

/** The condition of a rule that has asked for TCP before. */
function readFlags(
  head: Head,
  mask: Uint8Array | undefined,
  ranges: readonly Range[],
): Condition | undefined {
  const [value, ...more] = singles(ranges) ?? [];
  if (value === undefined || more.length > 0) return undefined;
  const holds = (SYN & (mask === undefined ? 0xff : littleEndian(mask))) === littleEndian(value);
  return { ...constant(head.text, holds), negated: head.negated };
}

const PORT_SIDES: Readonly<Record<number, Side>> = { 0: "source", 2: "destination" };

function readPort(
  head: Head,
  offset: number,
  length: number,
  mask: Uint8Array | undefined,
  ranges: readonly Range[],
): Condition | undefined {
  if (offset === TCP_FLAGS && length === 1) return readFlags(head, mask, ranges);
  const side = PORT_SIDES[offset];
  if (side === undefined || length !== 2 || mask !== undefined) return undefined;
  return { ...head, kind: "port", side, ranges: portsOf(ranges) };
}

/** Ports as registers have them. */
export function portsOf(ranges: readonly Range[]): PortRange[] {
  return ranges.map(({ from, to }) => ({ first: Number(bigEndian(from)), last: Number(bigEndian(to)) }));
}

/** The bits of an address that may be anything; undefined if they are not its last ones. */
function addressMask(mask: Uint8Array | undefined, length: number, bytes: number): bigint | undefined {
  const rest = (1n << BigInt((bytes - length) * 8)) - 1n;
  if (mask === undefined) return rest;
  const ones = (1n << BigInt(length * 8)) - 1n;
  const free = ones ^ bigEndian(mask);
  return (free & (free + 1n)) === 0n ? (free << BigInt((bytes - length) * 8)) | rest : undefined;
}

function readMeta(
  head: Head,
  key: number,
  { mask }: Loaded,
  ranges: readonly Range[],
): Condition | undefined {
  const values = singles(ranges);
  const [value] = values ?? [];
  if (values === undefined || value === undefined) return undefined;
  if (key === META_KEYS.MARK) {
    if (values.length > 1) return undefined;
    return { ...head, kind: "mark", ...markOf(value, mask) };
  }
  if (mask !== undefined) return undefined;
  if (key === META_KEYS.L4PROTO) return readProtocol(head, ranges);
  if (key === META_KEYS.OIFNAME) return { ...head, kind: "out", names: values.map(interfaceName) };
  if (key === META_KEYS.IIFNAME) return { ...head, kind: "in", names: values.map(interfaceName) };
  // Packets from a pod's link have an index.
  if (key === META_KEYS.IIF && values.every((one) => littleEndian(one) === 0))
    return { ...constant(head.text, false), negated: head.negated };
  const names = key === META_KEYS.NFPROTO ? NFPROTO : key === META_KEYS.PROTOCOL ? ETHER_TYPES : {};
  const family = names[Number(bigEndian(value))];
  return family === undefined || values.length > 1 ? undefined : { ...head, kind: "family", family };
}

export function markOf(value: Uint8Array, mask: Uint8Array | undefined): { value: number; mask: number } {
  return { value: littleEndian(value), mask: mask === undefined ? 0xffffffff : littleEndian(mask) };
}

function readProtocol(head: Head, ranges: readonly Range[]): Condition | undefined {
  const protocols = singles(ranges)?.map((value) => {
    return protocolName(String(bigEndian(value)));
  });
  return protocols === undefined ? undefined : { ...head, kind: "protocol", protocols };
}

/** The values, if each range is one. */
export function singles(ranges: readonly Range[]): Uint8Array[] | undefined {
  const are = ranges.every(({ from, to }) => bigEndian(from) === bigEndian(to));
  return are ? ranges.map(({ from }) => from) : undefined;
}

/** The kernel compares the whole name, NUL bytes included, or as much as a pattern has. */
function interfaceName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  return end < 0 && bytes.length < 16 ? `${name}*` : name;
}

/** Bytes as a number in the network's order. */
export function bigEndian(bytes: Uint8Array): bigint {
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

/** Bytes as a number in the machine's order, which on every platform that Node and the addon run on is this. */
export function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((number, byte) => number * 256 + byte, 0);
}

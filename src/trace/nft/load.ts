/** Expressions of nf_tables that load, change, or write back fields of a packet. */
import type { Family } from "../../core/cidr.ts";
import type { Attributes } from "../../netlink/attributes.ts";
import { EXPRESSION, FIB } from "../../netlink/constants.ts";
import { valueIn } from "../../netlink/expression.ts";
import { type Condition, type MarkChange, unknownMark } from "../model.ts";
import { CT_KEYS } from "./ct.ts";
import { sourceText } from "./question.ts";
import { act, need, numberIn, put, type Reader, slotOf } from "./reader.ts";
import { addressIn, type Loaded, littleEndian, META_KEYS, type Source } from "./register.ts";

export function payload(reader: Reader, attributes: Attributes): void {
  const { BASE, OFFSET, LEN, DREG, SREG } = EXPRESSION.payload;
  const [base, offset, length] = [BASE, OFFSET, LEN].map((type) => numberIn(attributes, type)) as [
    number,
    number,
    number,
  ];
  if (!attributes.has(SREG)) {
    put(reader, slotOf(attributes, DREG), { kind: "payload", base, offset, family: reader.family }, length);
    return;
  }
  const sides = (["IPv4", "IPv6"] as const)
    .filter((family) => (reader.family ?? family) === family)
    .map((family) => addressIn(base, offset, length, family));
  if (sides.includes("destination")) act(reader, { kind: "redirect" });
  else if (sides.includes("source")) act(reader, { kind: "rewrite" });
}

/** How long values are that are not of 4 bytes, by NFT_META_*. */
const META_BYTES: Readonly<Record<number, number>> = { 1: 2, 6: 16, 7: 16, 8: 2, 9: 2, 15: 1, 16: 1 };

export function meta(reader: Reader, attributes: Attributes): void {
  const { KEY, DREG, SREG } = EXPRESSION.meta;
  const key = numberIn(attributes, KEY);
  if (!attributes.has(SREG))
    put(reader, slotOf(attributes, DREG), { kind: "meta", key }, META_BYTES[key] ?? 4);
  else if (key === META_KEYS.MARK)
    act(reader, { kind: "mark", change: markChange(reader.registers.get(slotOf(attributes, SREG))) });
}

/** The packet's mark from a register; or its connection's. */
function markChange(loaded: Loaded | undefined, isConnections = false): MarkChange {
  const change = bitsChange(loaded, isConnections);
  return isConnections ? { ...change, isConnections } : change;
}

function bitsChange(loaded: Loaded | undefined, isConnections: boolean): MarkChange {
  if (loaded === undefined) return unknownMark();
  const { source, mask, xor } = loaded;
  const number = (bytes: Uint8Array | undefined, otherwise: number) =>
    bytes === undefined ? otherwise : littleEndian(bytes);
  const isPackets = source.kind === "meta" && source.key === META_KEYS.MARK;
  if (isPackets || (source.kind === "ct" && source.key === CT_KEYS.MARK)) {
    const [bits, flipped] = [number(mask, 0xffffffff) | 0, number(xor, 0)];
    return isPackets === isConnections ? { and: 0, take: bits, xor: flipped } : { and: bits, xor: flipped };
  }
  if (source.kind === "value") {
    const value = littleEndian(source.bytes);
    return { and: 0, xor: (value & number(mask, 0xffffffff)) ^ number(xor, 0) };
  }
  return unknownMark();
}

const TRACKED: Condition = { kind: "connection", holds: true, text: "ct", negated: false };

export function ct(reader: Reader, attributes: Attributes): void {
  const { KEY, DIRECTION, DREG, SREG } = EXPRESSION.ct;
  if (attributes.has(SREG)) {
    // Without a connection it ends the rule.
    need(reader, TRACKED);
    if (numberIn(attributes, KEY) === CT_KEYS.MARK)
      act(
        reader,
        { kind: "mark", change: markChange(reader.registers.get(slotOf(attributes, SREG)), true) },
        { text: "ct mark set" },
      );
    return;
  }
  const key = numberIn(attributes, KEY);
  const direction = attributes.get(DIRECTION)?.[0];
  const family = CT_FAMILIES[key] ?? reader.family;
  const source: Source =
    direction === undefined
      ? { kind: "ct", key }
      : direction === 0
        ? { kind: "ct", key, isOriginal: true, family }
        : { kind: "other", name: "ct reply" };
  // Loading the mark ends the rule where there is no connection, whatever is done with it.
  if (source.kind === "ct" && source.key === CT_KEYS.MARK) reader.conditions.push(TRACKED);
  put(reader, slotOf(attributes, DREG), source, CT_BYTES[key] ?? (isAddress(key) ? addressBytes(family) : 4));
}

/** NFT_CT_SRC_IP, DST_IP, SRC_IP6 and DST_IP6, and the keys whose values have not 4 bytes. */
const CT_FAMILIES: Readonly<Record<number, Family>> = { 19: "IPv4", 20: "IPv4", 21: "IPv6", 22: "IPv6" };
const CT_BYTES: Readonly<Record<number, number>> = { 1: 1, 7: 1, 10: 1, 11: 2, 12: 2 };

function isAddress(key: number): boolean {
  return [8, 9, 19, 20, 21, 22].includes(key);
}

function addressBytes(family: Family | undefined): number {
  return family === "IPv6" ? 16 : 4;
}

export function fib(reader: Reader, attributes: Attributes): void {
  const { RESULT, FLAGS, DREG } = EXPRESSION.fib;
  const flags = numberIn(attributes, FLAGS);
  const side = flags === FIB.F_DADDR ? "destination" : flags === FIB.F_SADDR ? "source" : undefined;
  const isType = numberIn(attributes, RESULT) === FIB.RESULT_ADDRTYPE;
  const isWayBack = !isType && (flags & FIB.F_SADDR) !== 0 && (flags & FIB.F_IIF) !== 0;
  const source: Source =
    isType && side !== undefined
      ? { kind: "fib", side }
      : isWayBack
        ? { kind: "way back" }
        : { kind: "other", name: "fib" };
  put(reader, slotOf(attributes, DREG), source, 4);
}

export function bitwise(reader: Reader, attributes: Attributes): void {
  const { SREG, DREG, LEN } = EXPRESSION.bitwise;
  const loaded = reader.registers.get(slotOf(attributes, SREG));
  const change = bitChange(attributes);
  const slot = slotOf(attributes, DREG);
  if (loaded !== undefined && change !== undefined && loaded.mask === undefined)
    reader.registers.set(slot, { ...loaded, ...change });
  else put(reader, slot, { kind: "other", name: "bitwise" }, numberIn(attributes, LEN));
}

/** NFT_BITWISE_MASK_XOR, and with one register NFT_BITWISE_AND, OR and XOR: we do not know shifts and operations on two registers. */
function bitChange(attributes: Attributes): { mask: Uint8Array; xor: Uint8Array } | undefined {
  const { MASK, XOR, OP, DATA } = EXPRESSION.bitwise;
  const [mask, xor, data] = [MASK, XOR, DATA].map((type) => valueIn(attributes.get(type)));
  const operator = numberIn(attributes, OP);
  if (operator === 0) return mask === undefined || xor === undefined ? undefined : { mask, xor };
  if (data === undefined) return undefined;
  const zeros = data.map(() => 0);
  const ones = data.map(() => 0xff);
  if (operator === 3) return { mask: data, xor: zeros };
  if (operator === 4) return { mask: data.map((byte) => ~byte), xor: data };
  return operator === 5 ? { mask: ones, xor: data } : undefined;
}

export function byteorder(reader: Reader, attributes: Attributes): void {
  const { SREG, DREG, LEN } = EXPRESSION.byteorder;
  const loaded = reader.registers.get(slotOf(attributes, SREG));
  const name = loaded === undefined ? "byteorder" : sourceText(loaded);
  put(reader, slotOf(attributes, DREG), { kind: "other", name }, numberIn(attributes, LEN));
}

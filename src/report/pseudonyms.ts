/**
 * Addresses under other addresses, so that a report can be posted in public. The same address gives the same pseudonym, and two
 * addresses have as many leading bits in common afterwards as before, so that "this network contains that address" stays true
 * (the idea of Crypto-PAn). Special-purpose ranges keep their bits, so that a private address stays private and a public one public.
 */

import { ADDRESS_BITS, constantCidr, type Family, formatAddress, parseAddress } from "../core/cidr.ts";
import { SPECIAL_RANGES } from "../core/special-ranges.ts";

/** 256 bits that depend on a text and on a secret of this run. */
export type KeyedBits = (text: string) => Uint8Array;

export interface AddressMap {
  /** Another address, or the same where it says nothing about a node; `bits` of a network, whose other bits are kept. */
  readonly map: (family: Family, value: bigint, bits?: number) => bigint;
  /** The address, network or range with another one in its place; undefined if `text` is none. */
  readonly mapText: (text: string) => string | undefined;
  /** Whether no pseudonym is an address that the report had as well. */
  readonly isClean: () => boolean;
}

/** Ranges in which every node has the same addresses, or that name no node. */
const COMMON = [
  ...["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4"],
  ...["240.0.0.0/4", "::/96", "ff00::/12", "ff01::/16", "ff02::/96"],
].map(constantCidr);

/** Ranges whose addresses stay within them. */
const KEPT = [
  ...COMMON.map(({ text }) => text),
  ...SPECIAL_RANGES.map(({ text }) => text),
  // The rest of fe80::/10 is not in use; ff02::1:ff00:0/104 has the last bits of a node's address.
  ...["fe80::/64", "ff02::1:ff00:0/104"],
].map(constantCidr);

const NAT64 = constantCidr("64:ff9b::/96");
const LOW_32 = 0xffffffffn;

/** A mapping for one run. */
export function createAddressMap(keyedBits: KeyedBits): AddressMap {
  const before = new Set<string>();
  const after = new Set<string>();
  const flips = createFlips(keyedBits);
  const map = (family: Family, value: bigint, bits = ADDRESS_BITS[family]): bigint => {
    if (isIn(COMMON, family, value)) return value;
    if (family === "IPv6" && isIn([NAT64], family, value) && bits >= NAT64.bits)
      return NAT64.base | map("IPv4", value & LOW_32, bits - NAT64.bits);
    const mapped = scramble(family, value, bits, flips);
    if (mapped !== value) {
      before.add(formatAddress(family, value));
      after.add(formatAddress(family, mapped));
    }
    return mapped;
  };
  return {
    map,
    mapText: (text) => mapText(text, map),
    isClean: () => [...after].every((text) => !before.has(text)),
  };
}

/** Whether the bit at an index is flipped, which depends on the bits before it. */
type Flips = (family: Family, value: bigint, index: number) => boolean;

const STEP = 8;

/** One text gives the bits for all addresses that have the same bytes before: 255 places where eight bits may differ. */
function createFlips(keyedBits: KeyedBits): Flips {
  const known = new Map<string, Uint8Array>();
  return (family, value, index) => {
    const width = ADDRESS_BITS[family];
    const start = index - (index % STEP);
    const prefix = `${family} ${start} ${(value >> BigInt(width - start)).toString(16)}`;
    const bits = known.get(prefix) ?? keyedBits(prefix);
    known.set(prefix, bits);
    const depth = index - start;
    const path = Number(BigInt.asUintN(depth, value >> BigInt(width - index)));
    const place = (1 << depth) - 1 + path;
    return (((bits[place >> 3] ?? 0) >> (place & 7)) & 1) === 1;
  };
}

/** The first bit that may change always does, so that no address is its own pseudonym. */
function scramble(family: Family, value: bigint, bits: number, flips: Flips): bigint {
  const width = ADDRESS_BITS[family];
  let [mapped, isFirst] = [value, true];
  for (let i = 0; i < bits; i++) {
    if (isKept(family, value, i)) continue;
    if (isFirst || flips(family, value, i)) mapped ^= 1n << BigInt(width - 1 - i);
    isFirst = false;
  }
  return mapped;
}

/** Whether the bit tells ranges apart: of those that the bits before it lead to, one goes on. */
function isKept(family: Family, value: bigint, index: number): boolean {
  const shift = BigInt(ADDRESS_BITS[family] - index);
  return KEPT.some(
    (one) => one.family === family && one.bits > index && one.base >> shift === value >> shift,
  );
}

function isIn(
  ranges: readonly { readonly family: Family; readonly base: bigint; readonly bits: number }[],
  family: Family,
  value: bigint,
): boolean {
  return ranges.some((one) => {
    const shift = BigInt(ADDRESS_BITS[family] - one.bits);
    return one.family === family && one.base >> shift === value >> shift;
  });
}

function mapText(text: string, map: AddressMap["map"]): string | undefined {
  const [, first = "", last] = /^([^-]+)-([^-]+)$/.exec(text) ?? [];
  if (last !== undefined) return mapRange(first, last, map);
  const slash = text.indexOf("/");
  const address = readAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const { family, value, width } = address;
  const length = slash < 0 ? width : prefixLength(text.slice(slash + 1));
  const bits = length === undefined ? undefined : length - (width - ADDRESS_BITS[family]);
  // A mask that is not a prefix, or not a valid length: map the address alone.
  if (bits === undefined || bits < 0 || bits > ADDRESS_BITS[family])
    return `${written(address, map(family, value))}${text.slice(slash)}`;
  const isNetwork = BigInt.asUintN(ADDRESS_BITS[family] - bits, value) === 0n;
  const mapped = map(family, value, isNetwork ? bits : ADDRESS_BITS[family]);
  return `${written(address, mapped)}${slash < 0 ? "" : text.slice(slash)}`;
}

/** Maps the common prefix of both ends; the rest distinguishes the ends. Maps ends without a common prefix separately. */
function mapRange(first: string, last: string, map: AddressMap["map"]): string | undefined {
  const [from, to] = [readAddress(first), readAddress(last)];
  if (from === undefined || to === undefined || from.family !== to.family) return undefined;
  const { family } = from;
  const common = ADDRESS_BITS[family] - (from.value ^ to.value).toString(2).length;
  const bits = from.value === to.value ? ADDRESS_BITS[family] : common;
  const ends = [map(family, from.value, bits), map(family, to.value, bits)];
  const isOther = ends[0] !== from.value;
  const [low = 0n, high = 0n] = isOther
    ? ends
    : [map(family, from.value), map(family, to.value)].sort(ascending);
  return `${written(from, low)}-${written(to, high)}`;
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : 1;
}

interface Read {
  readonly family: Family;
  readonly value: bigint;
  readonly width: number;
}

/** Octets with leading zeros are typing errors, and reveal as much as others. */
function readAddress(text: string): Read | undefined {
  return parseAddress(text.includes(":") ? text : text.replace(/(^|\.)0+(?=\d)/g, "$1"));
}

function written({ family, width }: Read, value: bigint): string {
  const isMapped = width > ADDRESS_BITS[family];
  return `${isMapped ? "::ffff:" : ""}${formatAddress(family, value)}`;
}

/** Of a number, or of a mask such as 255.255.0.0. */
function prefixLength(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  const mask = readAddress(text);
  if (mask === undefined) return undefined;
  const bits = mask.value.toString(2).padStart(ADDRESS_BITS[mask.family], "0");
  return /^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : undefined;
}

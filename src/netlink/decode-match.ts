/** The matches of a rule: the kernel's expressions as statements again (see decode-rule.ts). */
import { readString, readU32 } from "./attributes.ts";
import {
  ADDRESSES,
  BITWISE_MASK_XOR,
  BYTEORDER_HTON,
  CMP,
  EXPRESSION,
  FAMILIES,
  FIB,
  INTERFACE_NAME_BYTES,
  LOOKUP_F_INV,
  META,
  NG_RANDOM,
  PAYLOAD_NETWORK_HEADER,
  PROTOCOLS,
  REGISTER,
  ROUTE_TYPE_LOCAL,
} from "./constants.ts";
import { addressIn, comparand, type Expression, hasOnly, is, valueIn } from "./expression.ts";
import type { Statement } from "./operations.ts";
import { isInterfaceName } from "./validate.ts";

/** A statement and how many expressions it takes. */
export interface Found {
  readonly statement: Statement;
  readonly used: number;
}
/** Known from earlier statements of the rule: NFPROTO_* of the packet. */
export interface Context {
  protocol: number | undefined;
}
export type Matcher = (expressions: readonly Expression[], context: Context) => Found | undefined;

/** The byte with which a `meta` key is compared. */
function metaMatch([load, compare]: readonly Expression[], key: number): number | undefined {
  if (!is(load, "meta", { [EXPRESSION.meta.DREG]: REGISTER.FIRST, [EXPRESSION.meta.KEY]: key }))
    return undefined;
  const value = comparand(compare, CMP.EQ);
  return value?.length === 1 ? value[0] : undefined;
}

const l4proto: Matcher = (expressions) => {
  const number = metaMatch(expressions, META.L4PROTO);
  const protocol = keyOf(PROTOCOLS, number);
  return protocol === undefined ? undefined : { statement: { kind: "l4proto", protocol }, used: 2 };
};

/** A check of the packet's family alone; before an address it is part of that (`address` and `sourceBits`, which are tried first). */
const nfproto: Matcher = (expressions, context) => {
  const asked = context.protocol === undefined ? metaMatch(expressions, META.NFPROTO) : undefined;
  const family = (["ip", "ip6"] as const).find((each) => FAMILIES[each] === asked);
  if (family === undefined) return undefined;
  context.protocol = asked;
  return { statement: { kind: "nfproto", family }, used: 2 };
};

/** A match of one of the packet's addresses, from the expressions after that which loads it. */
type AddressMatch = (expressions: readonly Expression[], loaded: Loaded) => Found | undefined;
interface Loaded {
  readonly side: "saddr" | "daddr";
  readonly family: "ip" | "ip6";
}

/** With a check of the packet's family before it, unless that is known. */
const ofAddress =
  (match: AddressMatch): Matcher =>
  (expressions, context) => {
    const asked = metaMatch(expressions, META.NFPROTO);
    const before = asked === undefined ? 0 : 2;
    const [payload, ...rest] = expressions.slice(before);
    const loaded = LOADS.find((each) => isLoad(payload, each));
    const protocol = asked ?? context.protocol;
    if (loaded === undefined || protocol !== FAMILIES[loaded.family]) return undefined;
    const found = match(rest, loaded);
    if (found === undefined) return undefined;
    context.protocol = protocol;
    return { ...found, used: before + 1 + found.used };
  };

const LOADS: readonly Loaded[] = (["ip", "ip6"] as const).flatMap((family) =>
  (["saddr", "daddr"] as const).map((side) => ({ side, family })),
);

function isLoad(payload: Expression | undefined, { side, family }: Loaded): boolean {
  const { DREG, BASE, OFFSET, LEN } = EXPRESSION.payload;
  return is(payload, "payload", {
    [DREG]: REGISTER.FIRST,
    [BASE]: PAYLOAD_NETWORK_HEADER,
    [OFFSET]: ADDRESSES[family][side],
    [LEN]: ADDRESSES[family].bytes,
  });
}

const address = ofAddress(([lookup], { side, family }) => {
  const found = lookupOf(lookup);
  return found === undefined ? undefined : { statement: { kind: side, family, ...found }, used: 1 };
});

function lookupOf(lookup: Expression | undefined): { set: string; negated: boolean } | undefined {
  const { SET, SREG, FLAGS } = EXPRESSION.lookup;
  if (!hasOnly(lookup, "lookup", [SET, SREG, FLAGS])) return undefined;
  const { attributes } = lookup;
  const set = readString(attributes.get(SET));
  const flags = readU32(attributes.get(FLAGS)) ?? 0;
  if (set === undefined || readU32(attributes.get(SREG)) !== REGISTER.FIRST || flags > LOOKUP_F_INV)
    return undefined;
  return { set, negated: flags === LOOKUP_F_INV };
}

const sourceBits = ofAddress(([bitwise, compare], { side, family }) => {
  const { bytes } = ADDRESSES[family];
  const mask = maskOf(bitwise, bytes);
  const value = addressIn(comparand(compare, CMP.EQ), bytes);
  if (side !== "saddr" || mask === undefined || value === undefined) return undefined;
  return { statement: { kind: "saddr bits", family, mask, value }, used: 2 };
});

/** The mask of what the first register holds. Kernels before 5.6 have no kinds of this expression. */
function maskOf(expression: Expression | undefined, bytes: number): bigint | undefined {
  const { SREG, DREG, OP, LEN, MASK, XOR } = EXPRESSION.bitwise;
  if (expression?.name !== "bitwise") return undefined;
  const { attributes } = expression;
  const numbers = new Map([...attributes].filter(([type]) => type !== MASK && type !== XOR));
  const wanted = { [SREG]: REGISTER.FIRST, [DREG]: REGISTER.FIRST, [OP]: BITWISE_MASK_XOR, [LEN]: bytes };
  const isPlain = addressIn(valueIn(attributes.get(XOR)), bytes) === 0n;
  if (!is({ name: "bitwise", attributes: numbers }, "bitwise", wanted) || !isPlain) return undefined;
  return addressIn(valueIn(attributes.get(MASK)), bytes);
}

const oifname: Matcher = ([load, compare]) => {
  const { DREG, KEY } = EXPRESSION.meta;
  if (!is(load, "meta", { [DREG]: REGISTER.FIRST, [KEY]: META.OIFNAME })) return undefined;
  const value = comparand(compare, CMP.EQ);
  const name = readString(value) ?? "";
  if (value === undefined || !isInterfaceName(name)) return undefined;
  const isPrefix = value.length === name.length;
  const isWhole =
    value.length === INTERFACE_NAME_BYTES && value.subarray(name.length).every((byte) => byte === 0);
  return isPrefix || isWhole ? { statement: { kind: "oifname", name, isPrefix }, used: 2 } : undefined;
};

const fib: Matcher = ([load, compare]) => {
  const { DREG, RESULT, FLAGS } = EXPRESSION.fib;
  const wanted = { [DREG]: REGISTER.FIRST, [RESULT]: FIB.RESULT_ADDRTYPE, [FLAGS]: FIB.F_DADDR };
  if (!is(load, "fib", wanted)) return undefined;
  const value = comparand(compare, CMP.EQ);
  if (value?.length !== 4 || value[0] !== ROUTE_TYPE_LOCAL || value.subarray(1).some(Boolean))
    return undefined;
  return { statement: { kind: "fib daddr type", type: "local" }, used: 2 };
};

const numgen: Matcher = ([load, swap, compare]) => {
  const { DREG, MODULUS, TYPE, OFFSET } = EXPRESSION.numgen;
  const modulus = readU32(load?.attributes.get(MODULUS));
  const below = readU32(comparand(compare, CMP.LT));
  if (modulus === undefined || below === undefined || !isSwap(swap)) return undefined;
  const wanted = { [DREG]: REGISTER.FIRST, [MODULUS]: modulus, [TYPE]: NG_RANDOM, [OFFSET]: 0 };
  if (!is(load, "numgen", wanted)) return undefined;
  return { statement: { kind: "numgen random", modulus, below }, used: 3 };
};

function isSwap(expression: Expression | undefined): boolean {
  const { SREG, DREG, OP, LEN, SIZE } = EXPRESSION.byteorder;
  return is(expression, "byteorder", {
    [SREG]: REGISTER.FIRST,
    [DREG]: REGISTER.FIRST,
    [OP]: BYTEORDER_HTON,
    [LEN]: 4,
    [SIZE]: 4,
  });
}

export const MATCHES: readonly Matcher[] = [l4proto, address, sourceBits, nfproto, oifname, fib, numgen];

/** The key of a value in a table. */
export function keyOf<K extends string>(
  table: Readonly<Record<K, number>>,
  value: number | undefined,
): K | undefined {
  return (Object.keys(table) as K[]).find((key) => table[key] === value);
}

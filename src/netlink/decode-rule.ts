/**
 * The kernel's expressions as statements again. A statement is recognised only if it is exactly what encode-rule.ts
 * (or nft) writes for it: an unknown attribute or value makes its expressions unknown ones. They are
 * kept, so that changes by other programs are seen.
 */
import {
  type Attributes,
  eachAttribute,
  readAttributes,
  readI32,
  readString,
  readU32,
  readU64,
} from "./attributes.ts";
import {
  BYTEORDER_HTON,
  CMP,
  DESTINATIONS,
  EXPRESSION,
  FAMILIES,
  FIB,
  LOOKUP_F_INV,
  META,
  NAT_FLAGS,
  NAT_PROTO_SPECIFIED,
  NFTA,
  NG_RANDOM,
  PAYLOAD_NETWORK_HEADER,
  PROTOCOLS,
  REGISTER,
  ROUTE_TYPE_LOCAL,
  VERDICTS,
} from "./constants.ts";
import type { MasqueradeFlag, ObservedStatement, Statement } from "./operations.ts";

/** One of the kernel's own small steps, which make up statements. */
export interface Expression {
  readonly name: string;
  readonly attributes: Attributes;
}
/** A statement and how many expressions it takes. */
interface Found {
  readonly statement: Statement;
  readonly used: number;
}
/** Known from earlier statements of the rule: NFPROTO_* of the packet. */
interface Context {
  protocol: number | undefined;
}
type Matcher = (expressions: readonly Expression[], context: Context) => Found | undefined;

/** The statements in a rule's list of expressions; `family` is the table's number. */
export function readStatements(list: Uint8Array | undefined, family: number): ObservedStatement[] {
  let expressions = readExpressions(list);
  const context: Context = { protocol: family === FAMILIES.inet ? undefined : family };
  const statements: ObservedStatement[] = [];
  for (let first = expressions[0]; first !== undefined; first = expressions[0]) {
    const found = findStatement(expressions, context);
    statements.push(found?.statement ?? { kind: "unknown", name: first.name });
    expressions = expressions.slice(found?.used ?? 1);
  }
  return statements;
}

/** A rule's expressions, known or not. */
export function readExpressions(list: Uint8Array | undefined): Expression[] {
  const expressions: Expression[] = [];
  if (list === undefined) return expressions;
  eachAttribute(list, (_, element) => {
    const attributes = readAttributes(element);
    const name = readString(attributes.get(NFTA.EXPR.NAME)) ?? "";
    expressions.push({ name, attributes: readAttributes(attributes.get(NFTA.EXPR.DATA)) });
  });
  return expressions;
}

function findStatement(expressions: readonly Expression[], context: Context): Found | undefined {
  for (const matcher of MATCHERS) {
    const found = matcher(expressions, context);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether an expression has exactly these attributes, all of them numbers; one that is 0 may be missing. */
function is(
  expression: Expression | undefined,
  name: keyof typeof EXPRESSION,
  wanted: Readonly<Record<number, number>>,
): expression is Expression {
  if (expression?.name !== name) return false;
  const { attributes } = expression;
  const known = [...attributes].every(([type, value]) => readU32(value) === wanted[type]);
  return (
    known && Object.entries(wanted).every(([type, value]) => value === 0 || attributes.has(Number(type)))
  );
}

/** Whether an expression of that name has no attributes but these. */
function hasOnly(
  expression: Expression | undefined,
  name: keyof typeof EXPRESSION,
  types: readonly number[],
): expression is Expression {
  return expression?.name === name && [...expression.attributes.keys()].every((type) => types.includes(type));
}

/** The value with which the first register is compared. */
function comparand(expression: Expression | undefined, operator: number): Uint8Array | undefined {
  const { SREG, OP, DATA } = EXPRESSION.cmp;
  if (!hasOnly(expression, "cmp", [SREG, OP, DATA])) return undefined;
  const { attributes } = expression;
  if (readU32(attributes.get(SREG)) !== REGISTER.FIRST || readU32(attributes.get(OP)) !== operator)
    return undefined;
  return readAttributes(attributes.get(DATA)).get(NFTA.DATA.VALUE);
}

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

/** A check of the packet's family alone; before an address it is part of that (daddr, which is tried first). */
const nfproto: Matcher = (expressions, context) => {
  const asked = context.protocol === undefined ? metaMatch(expressions, META.NFPROTO) : undefined;
  const family = (["ip", "ip6"] as const).find((each) => FAMILIES[each] === asked);
  if (family === undefined) return undefined;
  context.protocol = asked;
  return { statement: { kind: "nfproto", family }, used: 2 };
};

/** With a check of the packet's family before it, unless that is known. */
const daddr: Matcher = (expressions, context) => {
  const asked = metaMatch(expressions, META.NFPROTO);
  const before = asked === undefined ? 0 : 2;
  const [payload, lookup] = expressions.slice(before);
  const family = (["ip", "ip6"] as const).find((each) => isDestination(payload, each));
  const protocol = asked ?? context.protocol;
  if (family === undefined || protocol !== FAMILIES[family]) return undefined;
  const found = lookupOf(lookup);
  if (found === undefined) return undefined;
  context.protocol = protocol;
  return { statement: { kind: "daddr", family, ...found }, used: before + 2 };
};

function isDestination(payload: Expression | undefined, family: "ip" | "ip6"): boolean {
  const { DREG, BASE, OFFSET, LEN } = EXPRESSION.payload;
  const { offset, bytes } = DESTINATIONS[family];
  return is(payload, "payload", {
    [DREG]: REGISTER.FIRST,
    [BASE]: PAYLOAD_NETWORK_HEADER,
    [OFFSET]: offset,
    [LEN]: bytes,
  });
}

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

const counter: Matcher = ([first]) => {
  const { BYTES, PACKETS } = EXPRESSION.counter;
  if (!hasOnly(first, "counter", [BYTES, PACKETS])) return undefined;
  const bytes = readU64(first.attributes.get(BYTES)) ?? 0n;
  const packets = readU64(first.attributes.get(PACKETS)) ?? 0n;
  return { statement: { kind: "counter", packets, bytes }, used: 1 };
};

/** The value that is put into a register. */
function immediate(expression: Expression | undefined, register: number): Attributes | undefined {
  const { DREG, DATA } = EXPRESSION.immediate;
  if (!hasOnly(expression, "immediate", [DREG, DATA])) return undefined;
  if (readU32(expression.attributes.get(DREG)) !== register) return undefined;
  return readAttributes(expression.attributes.get(DATA));
}

const verdict: Matcher = ([first]) => {
  const data = readAttributes(immediate(first, REGISTER.VERDICT)?.get(NFTA.DATA.VERDICT));
  const name = keyOf(VERDICTS, readI32(data.get(NFTA.VERDICT.CODE)));
  const chain = readString(data.get(NFTA.VERDICT.CHAIN));
  if (name === "jump" || name === "goto") {
    return chain === undefined
      ? undefined
      : { statement: { kind: "verdict", verdict: name, chain }, used: 1 };
  }
  return name === undefined ? undefined : { statement: { kind: "verdict", verdict: name }, used: 1 };
};

function portIn(expression: Expression | undefined, register: number): number | undefined {
  const value = immediate(expression, register)?.get(NFTA.DATA.VALUE);
  return value?.length === 2 ? ((value[0] ?? 0) << 8) | (value[1] ?? 0) : undefined;
}

/** Registers hold the ports: the first, or the first and the last. The kernel lists a single one twice. */
const masquerade: Matcher = (expressions) => {
  const first = portIn(expressions[0], REGISTER.FIRST);
  const last = first === undefined ? undefined : portIn(expressions[1], REGISTER.SECOND);
  const before = Number(first !== undefined) + Number(last !== undefined);
  const masq = expressions[before];
  const { FLAGS, REG_PROTO_MIN, REG_PROTO_MAX } = EXPRESSION.masq;
  const bits = readU32(masq?.attributes.get(FLAGS)) ?? 0;
  const single = masq?.attributes.has(REG_PROTO_MAX) === true ? REGISTER.FIRST : 0;
  const registers = {
    [REG_PROTO_MIN]: before >= 1 ? REGISTER.FIRST : 0,
    [REG_PROTO_MAX]: [0, single, REGISTER.SECOND][before] ?? 0,
  };
  const flags = masqueradeFlags(first === undefined ? bits : bits & ~NAT_PROTO_SPECIFIED);
  if (!is(masq, "masq", { [FLAGS]: bits, ...registers }) || flags === undefined) return undefined;
  const ports = first === undefined ? {} : { ports: { first, last: last ?? first } };
  return { statement: { kind: "masquerade", ...ports, flags }, used: before + 1 };
};

/** The flags by name, or nothing if there are others. */
function masqueradeFlags(bits: number): MasqueradeFlag[] | undefined {
  const names = Object.keys(NAT_FLAGS) as MasqueradeFlag[];
  const flags = names.filter((name) => (bits & NAT_FLAGS[name]) !== 0);
  return flags.reduce((rest, name) => rest & ~NAT_FLAGS[name], bits) === 0 ? flags : undefined;
}

const MATCHERS: readonly Matcher[] = [l4proto, daddr, nfproto, fib, numgen, counter, verdict, masquerade];

function keyOf<K extends string>(
  table: Readonly<Record<K, number>>,
  value: number | undefined,
): K | undefined {
  return (Object.keys(table) as K[]).find((key) => table[key] === value);
}

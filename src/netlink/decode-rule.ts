/**
 * The kernel's expressions as statements again. A statement is recognised only if it is exactly what encode-rule.ts
 * (or nft) writes for it: an unknown attribute or value makes its expressions unknown ones. They are
 * kept, so that changes by other programs are seen.
 */
import { readAttributes, readI32, readString, readU32, readU64 } from "./attributes.ts";
import {
  ADDRESSES,
  EXPRESSION,
  FAMILIES,
  NAT_FLAGS,
  NAT_MAP_IPS,
  NAT_PROTO_SPECIFIED,
  NAT_SOURCE,
  NFTA,
  REGISTER,
  VERDICTS,
} from "./constants.ts";
import { type Context, type Found, keyOf, MATCHES, type Matcher } from "./decode-match.ts";
import { addressIn, type Expression, hasOnly, immediate, is, readExpressions } from "./expression.ts";
import type { NatFlag, ObservedStatement, Ports } from "./operations.ts";

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

function findStatement(expressions: readonly Expression[], context: Context): Found | undefined {
  for (const matcher of MATCHERS) {
    const found = matcher(expressions, context);
    if (found !== undefined) return found;
  }
  return undefined;
}

const counter: Matcher = ([first]) => {
  const { BYTES, PACKETS } = EXPRESSION.counter;
  if (!hasOnly(first, "counter", [BYTES, PACKETS])) return undefined;
  const bytes = readU64(first.attributes.get(BYTES)) ?? 0n;
  const packets = readU64(first.attributes.get(PACKETS)) ?? 0n;
  return { statement: { kind: "counter", packets, bytes }, used: 1 };
};

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

/** The port in a register. */
function portIn(expression: Expression | undefined, register: number): number | undefined {
  const value = immediate(expression, register)?.get(NFTA.DATA.VALUE);
  return value?.length === 2 ? ((value[0] ?? 0) << 8) | (value[1] ?? 0) : undefined;
}

/** The values in registers from `register` on: a first port, and a last one. */
interface LoadedPorts {
  readonly ports?: Ports;
  /** How many expressions that takes. */
  readonly used: number;
  /** The attributes of the expression that uses the ports. */
  readonly registers: (names: PortAttributes, expression: Expression | undefined) => Record<number, number>;
}
interface PortAttributes {
  readonly REG_PROTO_MIN: number;
  readonly REG_PROTO_MAX: number;
}

/** The kernel lists the register of a single port twice. */
function loadedPorts([one, two]: readonly Expression[], register: number): LoadedPorts {
  const first = portIn(one, register);
  if (first === undefined) return { used: 0, registers: () => ({}) };
  const last = portIn(two, register + 1);
  return {
    ports: { first, last: last ?? first },
    used: last === undefined ? 1 : 2,
    registers: ({ REG_PROTO_MIN, REG_PROTO_MAX }, expression) => {
      const again = expression?.attributes.has(REG_PROTO_MAX) === true ? register : 0;
      return { [REG_PROTO_MIN]: register, [REG_PROTO_MAX]: last === undefined ? again : register + 1 };
    },
  };
}

const masquerade: Matcher = (expressions) => {
  const { ports, used, registers } = loadedPorts(expressions, REGISTER.FIRST);
  const masq = expressions[used];
  const { FLAGS } = EXPRESSION.masq;
  const bits = readU32(masq?.attributes.get(FLAGS)) ?? 0;
  const flags = natFlags(bits, ports);
  if (!is(masq, "masq", { [FLAGS]: bits, ...registers(EXPRESSION.masq, masq) }) || flags === undefined)
    return undefined;
  return { statement: { kind: "masquerade", ...withPorts(ports), flags }, used: used + 1 };
};

/** To one address, whose register the kernel lists twice. */
const snat: Matcher = ([load, ...expressions]) => {
  const value = immediate(load, REGISTER.FIRST)?.get(NFTA.DATA.VALUE);
  const { ports, used, registers } = loadedPorts(expressions, REGISTER.SECOND);
  const nat = expressions[used];
  const { TYPE, FAMILY, REG_ADDR_MIN, REG_ADDR_MAX, FLAGS } = EXPRESSION.nat;
  const family = keyOf({ ip: FAMILIES.ip, ip6: FAMILIES.ip6 }, readU32(nat?.attributes.get(FAMILY)));
  if (family === undefined || nat === undefined) return undefined;
  const address = addressIn(value, ADDRESSES[family].bytes);
  const bits = readU32(nat.attributes.get(FLAGS)) ?? 0;
  const flags = natFlags(bits & ~NAT_MAP_IPS, ports);
  const wanted = {
    [TYPE]: NAT_SOURCE,
    [FAMILY]: FAMILIES[family],
    [REG_ADDR_MIN]: REGISTER.FIRST,
    [REG_ADDR_MAX]: nat.attributes.has(REG_ADDR_MAX) ? REGISTER.FIRST : 0,
    [FLAGS]: bits,
    ...registers(EXPRESSION.nat, nat),
  };
  if (address === undefined || flags === undefined || !is(nat, "nat", wanted)) return undefined;
  return { statement: { kind: "snat", family, address, ...withPorts(ports), flags }, used: used + 2 };
};

function withPorts(ports: Ports | undefined): { ports?: Ports } {
  return ports === undefined ? {} : { ports };
}

/** The flags by name, or nothing if there are others. */
function natFlags(bits: number, ports: Ports | undefined): NatFlag[] | undefined {
  const named = ports === undefined ? bits : bits & ~NAT_PROTO_SPECIFIED;
  const names = Object.keys(NAT_FLAGS) as NatFlag[];
  const flags = names.filter((name) => (named & NAT_FLAGS[name]) !== 0);
  return flags.reduce((rest, name) => rest & ~NAT_FLAGS[name], named) === 0 ? flags : undefined;
}

const MATCHERS: readonly Matcher[] = [...MATCHES, counter, verdict, masquerade, snat];

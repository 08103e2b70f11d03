/**
 * Statements of a rule as the kernel's expressions: small steps that load something into a register, compare a
 * register or act. They are those that nft sends for the same text (`nft --debug=netlink`), so that `nft list`
 * shows that text again.
 */
import { cString, putBytes, putNest, putString, putU32, putU64, type Writer } from "./attributes.ts";
import {
  ADDRESSES,
  BITWISE_MASK_XOR,
  BYTEORDER_HTON,
  CMP,
  EXPRESSION,
  FIB,
  INTERFACE_NAME_BYTES,
  LOOKUP_F_INV,
  META,
  NAT_FLAGS,
  NAT_PROTO_SPECIFIED,
  NAT_SOURCE,
  NFTA,
  NG_RANDOM,
  PAYLOAD_NETWORK_HEADER,
  PROTOCOLS,
  REGISTER,
  ROUTE_TYPE_LOCAL,
  VERDICTS,
} from "./constants.ts";
import type {
  AddressStatement,
  CounterStatement,
  Family,
  MasqueradeStatement,
  NatFlag,
  NumgenStatement,
  OifnameStatement,
  Ports,
  SnatStatement,
  SourceBitsStatement,
  Statement,
  VerdictStatement,
} from "./operations.ts";

/** Known from earlier statements of the rule. */
interface Context {
  readonly writer: Writer;
  /** The network protocol is known: by the table's family, or since the rule has checked it. */
  protocolKnown: boolean;
}

/** Writes the list of a rule's expressions. */
export function putStatements(writer: Writer, family: Family, statements: readonly Statement[]): void {
  const context: Context = { writer, protocolKnown: family !== "inet" };
  putNest(writer, NFTA.RULE.EXPRESSIONS, () => {
    for (const statement of statements) putStatement(context, statement);
  });
}

function putStatement(context: Context, statement: Statement): void {
  const { writer } = context;
  switch (statement.kind) {
    case "nfproto":
      putFamilyMatch(context, statement.family);
      break;
    case "l4proto":
      putMetaMatch(writer, META.L4PROTO, PROTOCOLS[statement.protocol]);
      break;
    case "daddr":
    case "saddr":
      putAddressLookup(context, statement);
      break;
    case "saddr bits":
      putSourceBits(context, statement);
      break;
    case "oifname":
      putOifname(writer, statement);
      break;
    case "fib daddr type":
      putLocalMatch(writer);
      break;
    case "numgen random":
      putNumgen(writer, statement);
      break;
    case "counter":
      putCounter(writer, statement);
      break;
    case "verdict":
      putVerdict(writer, statement);
      break;
    case "masquerade":
      putMasquerade(writer, statement);
      break;
    case "snat":
      putSnat(writer, statement);
  }
}

function putExpression(writer: Writer, name: keyof typeof EXPRESSION, fill: () => void): void {
  putNest(writer, NFTA.LIST.ELEM, () => {
    putString(writer, NFTA.EXPR.NAME, name);
    putNest(writer, NFTA.EXPR.DATA, fill);
  });
}

/** Compares the first register with a value. */
function putComparison(writer: Writer, operator: number, value: Uint8Array): void {
  putExpression(writer, "cmp", () => {
    putU32(writer, EXPRESSION.cmp.SREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.cmp.OP, operator);
    putNest(writer, EXPRESSION.cmp.DATA, () => putBytes(writer, NFTA.DATA.VALUE, value));
  });
}

function putMeta(writer: Writer, key: number): void {
  putExpression(writer, "meta", () => {
    putU32(writer, EXPRESSION.meta.KEY, key);
    putU32(writer, EXPRESSION.meta.DREG, REGISTER.FIRST);
  });
}

/** `meta <key> <value>`, of one byte. */
function putMetaMatch(writer: Writer, key: number, value: number): void {
  putMeta(writer, key);
  putComparison(writer, CMP.EQ, Uint8Array.of(value));
}

function putFamilyMatch(context: Context, family: "ip" | "ip6"): void {
  putMetaMatch(context.writer, META.NFPROTO, ADDRESSES[family].nfproto);
  context.protocolKnown = true;
}

/** Loads a packet's address. In an `inet` table a rule has to check the packet's family first, once. */
function putAddress(context: Context, family: "ip" | "ip6", side: "saddr" | "daddr"): void {
  const { writer } = context;
  if (!context.protocolKnown) putFamilyMatch(context, family);
  putExpression(writer, "payload", () => {
    putU32(writer, EXPRESSION.payload.DREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.payload.BASE, PAYLOAD_NETWORK_HEADER);
    putU32(writer, EXPRESSION.payload.OFFSET, ADDRESSES[family][side]);
    putU32(writer, EXPRESSION.payload.LEN, ADDRESSES[family].bytes);
  });
}

function putAddressLookup(context: Context, { kind, family, set, negated }: AddressStatement): void {
  const { writer } = context;
  putAddress(context, family, kind);
  putExpression(writer, "lookup", () => {
    putU32(writer, EXPRESSION.lookup.SREG, REGISTER.FIRST);
    putString(writer, EXPRESSION.lookup.SET, set);
    if (negated) putU32(writer, EXPRESSION.lookup.FLAGS, LOOKUP_F_INV);
  });
}

function putSourceBits(context: Context, { family, mask, value }: SourceBitsStatement): void {
  const { writer } = context;
  const { bytes } = ADDRESSES[family];
  putAddress(context, family, "saddr");
  const putValue = (type: number, bits: bigint) =>
    putNest(writer, type, () => putBytes(writer, NFTA.DATA.VALUE, addressBytes(bits, bytes)));
  putExpression(writer, "bitwise", () => {
    putU32(writer, EXPRESSION.bitwise.SREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.bitwise.DREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.bitwise.OP, BITWISE_MASK_XOR);
    putU32(writer, EXPRESSION.bitwise.LEN, bytes);
    putValue(EXPRESSION.bitwise.MASK, mask);
    putValue(EXPRESSION.bitwise.XOR, 0n);
  });
  putComparison(writer, CMP.EQ, addressBytes(value, bytes));
}

/** An address in network order. */
function addressBytes(address: bigint, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) =>
    Number((address >> BigInt(8 * (bytes - 1 - i))) & 0xffn),
  );
}

/** The kernel's text has NULs up to its full length, so a comparison of fewer bytes is one of the beginning. */
function putOifname(writer: Writer, { name, isPrefix }: OifnameStatement): void {
  const text = cString(name);
  const value = new Uint8Array(isPrefix ? text.length - 1 : INTERFACE_NAME_BYTES);
  value.set(text.subarray(0, value.length));
  putMeta(writer, META.OIFNAME);
  putComparison(writer, CMP.EQ, value);
}

/** The type of route is in the machine's byte order: it is not a field of a packet. */
function putLocalMatch(writer: Writer): void {
  putExpression(writer, "fib", () => {
    putU32(writer, EXPRESSION.fib.FLAGS, FIB.F_DADDR);
    putU32(writer, EXPRESSION.fib.RESULT, FIB.RESULT_ADDRTYPE);
    putU32(writer, EXPRESSION.fib.DREG, REGISTER.FIRST);
  });
  putComparison(writer, CMP.EQ, Uint8Array.of(ROUTE_TYPE_LOCAL, 0, 0, 0));
}

/** A random number is compared byte by byte, so it has to be in network order first. */
function putNumgen(writer: Writer, { modulus, below }: NumgenStatement): void {
  putExpression(writer, "numgen", () => {
    putU32(writer, EXPRESSION.numgen.DREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.numgen.MODULUS, modulus);
    putU32(writer, EXPRESSION.numgen.TYPE, NG_RANDOM);
    putU32(writer, EXPRESSION.numgen.OFFSET, 0);
  });
  putExpression(writer, "byteorder", () => {
    putU32(writer, EXPRESSION.byteorder.SREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.byteorder.DREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.byteorder.OP, BYTEORDER_HTON);
    putU32(writer, EXPRESSION.byteorder.LEN, 4);
    putU32(writer, EXPRESSION.byteorder.SIZE, 4);
  });
  const bound = new Uint8Array(4);
  new DataView(bound.buffer).setUint32(0, below);
  putComparison(writer, CMP.LT, bound);
}

function putCounter(writer: Writer, { packets, bytes }: CounterStatement): void {
  putExpression(writer, "counter", () => {
    if (packets === 0n && bytes === 0n) return;
    putU64(writer, EXPRESSION.counter.BYTES, bytes);
    putU64(writer, EXPRESSION.counter.PACKETS, packets);
  });
}

function putImmediate(writer: Writer, register: number, fill: () => void): void {
  putExpression(writer, "immediate", () => {
    putU32(writer, EXPRESSION.immediate.DREG, register);
    putNest(writer, EXPRESSION.immediate.DATA, fill);
  });
}

function putVerdict(writer: Writer, statement: VerdictStatement): void {
  putImmediate(writer, REGISTER.VERDICT, () =>
    putNest(writer, NFTA.DATA.VERDICT, () => {
      putU32(writer, NFTA.VERDICT.CODE, VERDICTS[statement.verdict]);
      if ("chain" in statement) putString(writer, NFTA.VERDICT.CHAIN, statement.chain);
    }),
  );
}

function putValue(writer: Writer, register: number, value: Uint8Array): void {
  putImmediate(writer, register, () => putBytes(writer, NFTA.DATA.VALUE, value));
}

/** The numbers of the attributes that name registers with ports. */
interface PortAttributes {
  readonly REG_PROTO_MIN: number;
  readonly REG_PROTO_MAX: number;
}

/**
 * Loads ports into registers from `register` on; the result writes which those are. A single port has no second register.
 */
function putPorts(writer: Writer, ports: Ports | undefined, register: number): (to: PortAttributes) => void {
  if (ports === undefined) return () => {};
  const { first, last } = ports;
  const registers = first === last ? [first] : [first, last];
  for (const [i, port] of registers.entries())
    putValue(writer, register + i, Uint8Array.of(port >> 8, port & 0xff));
  return ({ REG_PROTO_MIN, REG_PROTO_MAX }) => {
    putU32(writer, REG_PROTO_MIN, register);
    if (registers.length > 1) putU32(writer, REG_PROTO_MAX, register + 1);
  };
}

function natBits(flags: readonly NatFlag[], ports: Ports | undefined): number {
  return flags.reduce((sum, flag) => sum | NAT_FLAGS[flag], ports === undefined ? 0 : NAT_PROTO_SPECIFIED);
}

function putMasquerade(writer: Writer, { ports, flags }: MasqueradeStatement): void {
  const putRegisters = putPorts(writer, ports, REGISTER.FIRST);
  const bits = natBits(flags, ports);
  putExpression(writer, "masq", () => {
    if (bits !== 0) putU32(writer, EXPRESSION.masq.FLAGS, bits);
    putRegisters(EXPRESSION.masq);
  });
}

function putSnat(writer: Writer, { family, address, ports, flags }: SnatStatement): void {
  const { nfproto, bytes } = ADDRESSES[family];
  putValue(writer, REGISTER.FIRST, addressBytes(address, bytes));
  const putRegisters = putPorts(writer, ports, REGISTER.SECOND);
  const bits = natBits(flags, ports);
  putExpression(writer, "nat", () => {
    putU32(writer, EXPRESSION.nat.TYPE, NAT_SOURCE);
    putU32(writer, EXPRESSION.nat.FAMILY, nfproto);
    putU32(writer, EXPRESSION.nat.REG_ADDR_MIN, REGISTER.FIRST);
    putRegisters(EXPRESSION.nat);
    if (bits !== 0) putU32(writer, EXPRESSION.nat.FLAGS, bits);
  });
}

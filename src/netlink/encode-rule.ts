/**
 * Statements of a rule as the kernel's expressions: small steps that load something into a register, compare a
 * register or act. They are those that nft sends for the same text (`nft --debug=netlink`), so that `nft list`
 * shows that text again.
 */
import { putBytes, putNest, putString, putU32, putU64, type Writer } from "./attributes.ts";
import {
  BYTEORDER_HTON,
  CMP,
  DESTINATIONS,
  EXPRESSION,
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
import type {
  CounterStatement,
  DaddrStatement,
  Family,
  MasqueradeStatement,
  NumgenStatement,
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
      putMetaMatch(writer, META.NFPROTO, DESTINATIONS[statement.family].nfproto);
      context.protocolKnown = true;
      break;
    case "l4proto":
      putMetaMatch(writer, META.L4PROTO, PROTOCOLS[statement.protocol]);
      break;
    case "daddr":
      putDestinationLookup(context, statement);
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

/** `meta <key> <value>`, of one byte. */
function putMetaMatch(writer: Writer, key: number, value: number): void {
  putExpression(writer, "meta", () => {
    putU32(writer, EXPRESSION.meta.KEY, key);
    putU32(writer, EXPRESSION.meta.DREG, REGISTER.FIRST);
  });
  putComparison(writer, CMP.EQ, Uint8Array.of(value));
}

/** In an `inet` table a rule has to check the packet's family first, once. */
function putDestinationLookup(context: Context, { family, set, negated }: DaddrStatement): void {
  const { writer } = context;
  const destination = DESTINATIONS[family];
  if (!context.protocolKnown) putMetaMatch(writer, META.NFPROTO, destination.nfproto);
  context.protocolKnown = true;
  putExpression(writer, "payload", () => {
    putU32(writer, EXPRESSION.payload.DREG, REGISTER.FIRST);
    putU32(writer, EXPRESSION.payload.BASE, PAYLOAD_NETWORK_HEADER);
    putU32(writer, EXPRESSION.payload.OFFSET, destination.offset);
    putU32(writer, EXPRESSION.payload.LEN, destination.bytes);
  });
  putExpression(writer, "lookup", () => {
    putU32(writer, EXPRESSION.lookup.SREG, REGISTER.FIRST);
    putString(writer, EXPRESSION.lookup.SET, set);
    if (negated) putU32(writer, EXPRESSION.lookup.FLAGS, LOOKUP_F_INV);
  });
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

function putPort(writer: Writer, register: number, port: number): void {
  const value = Uint8Array.of(port >> 8, port & 0xff);
  putImmediate(writer, register, () => putBytes(writer, NFTA.DATA.VALUE, value));
}

/** The ports are loaded into registers first; a single one has no second register. */
function putMasquerade(writer: Writer, { ports, flags }: MasqueradeStatement): void {
  const isRange = ports !== undefined && ports.first !== ports.last;
  if (ports !== undefined) putPort(writer, REGISTER.FIRST, ports.first);
  if (isRange) putPort(writer, REGISTER.SECOND, ports.last);
  const bits = flags.reduce(
    (sum, flag) => sum | NAT_FLAGS[flag],
    ports === undefined ? 0 : NAT_PROTO_SPECIFIED,
  );
  putExpression(writer, "masq", () => {
    if (bits !== 0) putU32(writer, EXPRESSION.masq.FLAGS, bits);
    if (ports !== undefined) putU32(writer, EXPRESSION.masq.REG_PROTO_MIN, REGISTER.FIRST);
    if (isRange) putU32(writer, EXPRESSION.masq.REG_PROTO_MAX, REGISTER.SECOND);
  });
}

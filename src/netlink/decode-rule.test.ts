import { describe, expect, test } from "vitest";
import {
  createWriter,
  putBytes,
  putNest,
  putString,
  putU32,
  putU64,
  readAttributes,
  type Writer,
  written,
} from "./attributes.ts";
import { EXPRESSION, FAMILIES, NFTA } from "./constants.ts";
import { readStatements } from "./decode-rule.ts";

/** An expression's name and attributes: numbers, or what is nested in them. */
type Field = number | string | bigint | Uint8Array | { readonly [type: number]: Field };
type Expression = readonly [string, { readonly [type: number]: Field }];

const VALUE = (...bytes: number[]) => ({ [NFTA.DATA.VALUE]: Uint8Array.from(bytes) });
const { meta, cmp, payload, lookup, immediate, masq, fib, bitwise, nat } = EXPRESSION;
const LOAD_NFPROTO: Expression = ["meta", { [meta.KEY]: 15, [meta.DREG]: 1 }];
const LOAD_L4PROTO: Expression = ["meta", { [meta.KEY]: 16, [meta.DREG]: 1 }];
const equals = (...bytes: number[]): Expression => [
  "cmp",
  { [cmp.SREG]: 1, [cmp.OP]: 0, [cmp.DATA]: VALUE(...bytes) },
];
const DADDR: Expression = [
  "payload",
  { [payload.DREG]: 1, [payload.BASE]: 1, [payload.OFFSET]: 16, [payload.LEN]: 4 },
];
const LOOKUP: Expression = ["lookup", { [lookup.SET]: "v4", [lookup.SREG]: 1, [lookup.FLAGS]: 0 }];
const SADDR: Expression = [
  "payload",
  { [payload.DREG]: 1, [payload.BASE]: 1, [payload.OFFSET]: 12, [payload.LEN]: 4 },
];
const masked = (more: { readonly [type: number]: Field } = {}): Expression => [
  "bitwise",
  {
    [bitwise.SREG]: 1,
    [bitwise.DREG]: 1,
    [bitwise.LEN]: 4,
    [bitwise.MASK]: VALUE(0, 0, 0, 3),
    [bitwise.XOR]: VALUE(0, 0, 0, 0),
    ...more,
  },
];
const LOAD_OIFNAME: Expression = ["meta", { [meta.KEY]: 7, [meta.DREG]: 1 }];
const load = (register: number, ...bytes: number[]): Expression => [
  "immediate",
  { [immediate.DREG]: register, [immediate.DATA]: VALUE(...bytes) },
];
const snat = (more: { readonly [type: number]: Field }): Expression => [
  "nat",
  { [nat.TYPE]: 0, [nat.FAMILY]: 2, [nat.REG_ADDR_MIN]: 1, [nat.REG_ADDR_MAX]: 1, ...more },
];
const FOUND = { kind: "daddr", family: "ip", set: "v4", negated: false };
const unknown = (...names: readonly string[]) => names.map((name) => ({ kind: "unknown", name }));

describe("what others write stays visible", () => {
  test.each<[string, readonly Expression[], readonly object[]]>([
    ["an expression of another name", [["ct", { 1: 1, 2: 3 }], equals(2)], unknown("ct", "cmp")],
    ["another protocol", [LOAD_L4PROTO, equals(1)], unknown("meta", "cmp")],
    ["another comparison", [LOAD_L4PROTO, ["cmp", { 1: 1, 2: 1, 3: VALUE(6) }]], unknown("meta", "cmp")],
    ["another register", [LOAD_L4PROTO, ["cmp", { 1: 2, 2: 0, 3: VALUE(6) }]], unknown("meta", "cmp")],
    ["an attribute more", [["masq", { [masq.FLAGS]: 4, 9: 1 }]], unknown("masq")],
    ["a flag more", [["masq", { [masq.FLAGS]: 0x44 }]], unknown("masq")],
    [
      "a lookup into a map",
      [LOAD_NFPROTO, equals(2), DADDR, ["lookup", { 1: "m", 2: 1, 3: 0, 5: 0 }]],
      [{ kind: "nfproto", family: "ip" }, ...unknown("payload", "lookup")],
    ],
    [
      "a family that has no name in an address",
      [LOAD_NFPROTO, equals(7), ["counter", {}]],
      [...unknown("meta", "cmp"), { kind: "counter", packets: 0n, bytes: 0n }],
    ],
    ["an address without its family", [DADDR, LOOKUP], unknown("payload", "lookup")],
    [
      "an address of the other family",
      [LOAD_NFPROTO, equals(10), DADDR, LOOKUP],
      [{ kind: "nfproto", family: "ip6" }, ...unknown("payload", "lookup")],
    ],
    [
      "ports without masquerading",
      [["immediate", { [immediate.DREG]: 1, [immediate.DATA]: VALUE(1, 2) }]],
      unknown("immediate"),
    ],
    [
      "a verdict without a chain",
      [["immediate", { [immediate.DREG]: 0, [immediate.DATA]: { 2: { 1: -3 } } }]],
      unknown("immediate"),
    ],
    [
      "some bits of a destination",
      [LOAD_NFPROTO, equals(2), DADDR, masked(), equals(0, 0, 0, 1)],
      [{ kind: "nfproto", family: "ip" }, ...unknown("payload", "bitwise", "cmp")],
    ],
    [
      "bits that are turned",
      [LOAD_NFPROTO, equals(2), SADDR, masked({ [bitwise.XOR]: VALUE(0, 0, 0, 1) }), equals(0, 0, 0, 1)],
      [{ kind: "nfproto", family: "ip" }, ...unknown("payload", "bitwise", "cmp")],
    ],
    [
      "bits that are shifted",
      [LOAD_NFPROTO, equals(2), SADDR, masked({ [bitwise.OP]: 1 }), equals(0, 0, 0, 1)],
      [{ kind: "nfproto", family: "ip" }, ...unknown("payload", "bitwise", "cmp")],
    ],
    ["a link's name that nft cannot say", [LOAD_OIFNAME, equals(34, 42)], unknown("meta", "cmp")],
    ["a name with more after it", [LOAD_OIFNAME, equals(101, 0, 1)], unknown("meta", "cmp")],
    ["an empty name", [LOAD_OIFNAME, equals(...new Array(16).fill(0))], unknown("meta", "cmp")],
    [
      "a range of addresses",
      [load(1, 10, 0, 0, 1), load(2, 10, 0, 0, 9), snat({ [nat.REG_ADDR_MAX]: 2 })],
      unknown("immediate", "immediate", "nat"),
    ],
    ["another destination", [load(1, 10, 0, 0, 1), snat({ [nat.TYPE]: 1 })], unknown("immediate", "nat")],
    [
      "an address of IPv6 in four bytes",
      [load(1, 10, 0, 0, 1), snat({ [nat.FAMILY]: 10 })],
      unknown("immediate", "nat"),
    ],
    ["an address of a map", [snat({})], unknown("nat")],
    [
      "another route type",
      [["fib", { [fib.FLAGS]: 2, [fib.RESULT]: 3, [fib.DREG]: 1 }], equals(3, 0, 0, 0)],
      unknown("fib", "cmp"),
    ],
    [
      "our counter among them",
      [
        ["limit", { 1: 5n }],
        ["counter", { 1: 7n, 2: 5n }],
      ],
      [...unknown("limit"), { kind: "counter", packets: 5n, bytes: 7n }],
    ],
  ])("%s", (_, expressions, expected) => {
    expect(readStatements(list(expressions), FAMILIES.inet)).toEqual(expected);
  });
});

test("a rule checks the family once, and not in a table of one family", () => {
  const twice = list([LOAD_NFPROTO, equals(2), DADDR, LOOKUP, DADDR, LOOKUP]);
  expect(readStatements(twice, FAMILIES.inet)).toEqual([FOUND, FOUND]);
  expect(readStatements(list([DADDR, LOOKUP]), FAMILIES.ip)).toEqual([FOUND]);
  expect(readStatements(list([DADDR, LOOKUP]), FAMILIES.ip6)).toEqual(unknown("payload", "lookup"));
});

test("a single port written as a range is that port", () => {
  const port = (register: number): Expression => [
    "immediate",
    { [immediate.DREG]: register, [immediate.DATA]: VALUE(3, 232) },
  ];
  const masquerade: Expression = [
    "masq",
    { [masq.FLAGS]: 2, [masq.REG_PROTO_MIN]: 1, [masq.REG_PROTO_MAX]: 2 },
  ];
  expect(readStatements(list([port(1), port(2), masquerade]), FAMILIES.inet)).toEqual([
    { kind: "masquerade", ports: { first: 1000, last: 1000 }, flags: [] },
  ]);
});

test.each<[string, readonly Expression[], object]>([
  [
    "bits of a source, by a kernel without kinds of this expression",
    [LOAD_NFPROTO, equals(2), SADDR, masked(), equals(0, 0, 0, 1)],
    { kind: "saddr bits", family: "ip", mask: 3n, value: 1n },
  ],
  [
    "bits of a source",
    [LOAD_NFPROTO, equals(2), SADDR, masked({ [bitwise.OP]: 0 }), equals(0, 0, 0, 2)],
    { kind: "saddr bits", family: "ip", mask: 3n, value: 2n },
  ],
  [
    "the beginning of a name, of as many bytes as a name has",
    [LOAD_OIFNAME, equals(...new Array(15).fill(97))],
    { kind: "oifname", name: "a".repeat(15), isPrefix: true },
  ],
  [
    "an address and a port, as the kernel lists them",
    [
      load(1, 192, 0, 2, 1),
      load(2, 3, 232),
      snat({ [nat.REG_PROTO_MIN]: 2, [nat.REG_PROTO_MAX]: 2, [nat.FLAGS]: 0x13 }),
    ],
    {
      kind: "snat",
      family: "ip",
      address: 0xc0000201n,
      ports: { first: 1000, last: 1000 },
      flags: ["fully-random"],
    },
  ],
])("%s", (_, expressions, expected) => {
  expect(readStatements(list(expressions), FAMILIES.inet)).toEqual([expected]);
});

test("an empty rule, or none", () => {
  expect(readStatements(list([]), FAMILIES.inet)).toEqual([]);
  expect(readStatements(undefined, FAMILIES.inet)).toEqual([]);
});

/** The bytes of a list of expressions. */
function list(expressions: readonly Expression[]): Uint8Array | undefined {
  const writer = createWriter();
  putNest(writer, NFTA.RULE.EXPRESSIONS, () => {
    for (const [name, data] of expressions)
      putNest(writer, NFTA.LIST.ELEM, () => {
        putString(writer, NFTA.EXPR.NAME, name);
        putField(writer, NFTA.EXPR.DATA, data);
      });
  });
  return readAttributes(written(writer)).get(NFTA.RULE.EXPRESSIONS);
}

function putField(writer: Writer, type: number, field: Field): void {
  if (typeof field === "number") putU32(writer, type, field);
  else if (typeof field === "bigint") putU64(writer, type, field);
  else if (typeof field === "string") putString(writer, type, field);
  else if (field instanceof Uint8Array) putBytes(writer, type, field);
  else
    putNest(writer, type, () => {
      for (const [inner, value] of Object.entries(field)) putField(writer, Number(inner), value);
    });
}

import { describe, expect, test } from "vitest";
import { encodeBatch, operationBudget } from "./encode.ts";
import { COUNTER, type ElementInterval, type Operation } from "./operations.ts";
import { renderOperation } from "./text.ts";

const t = { family: "inet", table: "t" } as const;
const c = { ...t, chain: "post" } as const;
const RETURN = { kind: "verdict", verdict: "return" } as const;
const LAST: Operation = { op: "flush chain", ...c };

/**
 * Commands of nft and what nft 1.0.6 sends for them (`strace -e write=all -e trace=sendmsg nft -f`): the message's
 * type and flags, then its attributes. There are two differences: nft numbers elements, though the kernel does not read the
 * numbers, and also names a set by its number in the batch, which ours do not have.
 */
const GOLDEN: readonly (readonly [string, string, Operation])[] = [
  [
    'add table inet t { comment "é\'s"; }',
    `a00 1
      060001007400000008000200000000000b0006000005c3a927730000`,
    { op: "add table", ...t, comment: "é's" },
  ],
  [
    "delete table inet t",
    `a02 1
      0600010074000000`,
    { op: "delete table", ...t },
  ],
  [
    "add chain inet t base { type nat hook postrouting priority 101; policy accept; }",
    `a03 401
      0600010074000000090003006261736500000000080007006e6174000800050000000001140004800800010000000004
      0800020000000065`,
    {
      op: "add chain",
      ...t,
      chain: "base",
      base: { type: "nat", hook: "postrouting", priority: 101, policy: "accept" },
    },
  ],
  [
    "add chain inet t plain",
    `a03 401
      06000100740000000a000300706c61696e000000`,
    { op: "add chain", ...t, chain: "plain" },
  ],
  [
    "delete chain inet t empty",
    `a05 1
      06000100740000000a000300656d707479000000`,
    { op: "delete chain", ...t, chain: "empty" },
  ],
  [
    "flush chain inet t post",
    `a08 1
      060001007400000009000200706f737400000000`,
    { op: "flush chain", ...c },
  ],
  [
    'add set inet t new { type ipv4_addr; size 65535; flags interval; comment "of ours"; }',
    `a09 401
      0600010074000000080002006e65770008000300000000040800040000000007080005000000000408000a0000000001
      0c000980080001000000ffff14000d0000040200000007086f66206f75727300`,
    { op: "add set", ...t, set: "new", key: "ipv4_addr", size: 65535, comment: "of ours" },
  ],
  [
    "add set inet t new { type ipv6_addr; flags interval; }",
    `a09 401
      0600010074000000080002006e65770008000300000000040800040000000008080005000000001008000a0000000001
      0a000d000004020000000000`,
    { op: "add set", ...t, set: "new", key: "ipv6_addr" },
  ],
  [
    "delete set inet t v4",
    `a0b 1
      06000100740000000700020076340000`,
    { op: "delete set", ...t, set: "v4" },
  ],
  [
    "delete element inet t v4 { 10.0.0.0/8 }",
    `a0e 1
      060001007400000007000200763400002c000380100001800c000180080001000a000000180001800800030000000001
      0c000180080001000b000000`,
    {
      op: "delete elements",
      ...t,
      set: "v4",
      key: "ipv4_addr",
      elements: [{ first: 0x0a000000n, last: 0x0affffffn }],
    },
  ],
  [
    "delete element inet t v6 { ::1, ff00::/8 }",
    `a0e 1
      060001007400000007000200763600006c0003801c000180180001801400010000000000000000000000000000000001
      240001800800030000000001180001801400010000000000000000000000000000000002280001801800018014000100
      ff0000000000000000000000000000000a0006000104010000000000`,
    {
      op: "delete elements",
      ...t,
      set: "v6",
      key: "ipv6_addr",
      elements: [
        { first: 1n, last: 1n },
        { first: 0xffn << 120n, last: (1n << 128n) - 1n },
      ],
    },
  ],
  [
    "add rule inet t post ip daddr @v4 counter packets 0 bytes 0 return",
    `a06 c01
      060001007400000009000200706f737400000000f000048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      0500010002000000340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300
      000000100800040000000004240001800b0001006c6f6f6b757000001400028008000200000000010700010076340000
      140001800c000100636f756e7465720004000280300001800e000100696d6d6564696174650000001c00028008000100
      00000000100002800c00028008000100fffffffb`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "daddr", family: "ip", set: "v4", negated: false },
        COUNTER,
        { kind: "verdict", verdict: "return" },
      ],
    },
  ],
  [
    'add rule inet t post ip6 daddr != @v6 counter packets 5 bytes 7 jump empty comment "r c"',
    `a06 c01
      060001007400000009000200706f7374000000001c01048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      050001000a000000340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300
      0000001808000400000000102c0001800b0001006c6f6f6b757000001c00028008000200000000010700010076360000
      08000500000000012c0001800c000100636f756e746572001c0002800c00010000000000000000070c00020000000000
      000000053c0001800e000100696d6d6564696174650000002800028008000100000000001c0002801800028008000100
      fffffffd0a000200656d7074790000000a0007000004722063000000`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "daddr", family: "ip6", set: "v6", negated: true },
        { kind: "counter", packets: 5n, bytes: 7n },
        { kind: "verdict", verdict: "jump", chain: "empty" },
      ],
      comment: "r c",
    },
  ],
  [
    "add rule inet t post meta l4proto tcp numgen random mod 3 < 1 masquerade to :1000-2000 random",
    `a06 c01
      060001007400000009000200706f7374000000007801048024000180090001006d657461000000001400028008000200
      0000001008000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      0500010006000000340001800b0001006e756d67656e0000240002800800010000000001080002000000000308000300
      000000010800040000000000400001800e000100627974656f726465720000002c000280080001000000000108000200
      000000010800030000000001080004000000000408000500000000042c00018008000100636d70002000028008000100
      0000000108000200000000020c00038008000100000000012c0001800e000100696d6d65646961746500000018000280
      08000100000000010c0002800600010003e800002c0001800e000100696d6d6564696174650000001800028008000100
      000000020c0002800600010007d000002c000180090001006d617371000000001c000280080001000000000608000200
      000000010800030000000002`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "l4proto", protocol: "tcp" },
        { kind: "numgen random", modulus: 3, below: 1 },
        { kind: "masquerade", ports: { first: 1000, last: 2000 }, flags: ["random"] },
      ],
    },
  ],
  [
    "add rule inet t post meta l4proto sctp masquerade to :1000 fully-random,persistent",
    `a06 c01
      060001007400000009000200706f737400000000a400048024000180090001006d657461000000001400028008000200
      0000001008000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      05000100840000002c0001800e000100696d6d6564696174650000001800028008000100000000010c00028006000100
      03e8000024000180090001006d6173710000000014000280080001000000001a0800020000000001`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "l4proto", protocol: "sctp" },
        { kind: "masquerade", ports: { first: 1000, last: 1000 }, flags: ["fully-random", "persistent"] },
      ],
    },
  ],
  [
    "add rule inet t post fib daddr type local accept",
    `a06 c01
      060001007400000009000200706f737400000000880004802800018008000100666962001c0002800800030000000002
      080002000000000308000100000000012c00018008000100636d70002000028008000100000000010800020000000000
      0c0003800800010002000000300001800e000100696d6d6564696174650000001c000280080001000000000010000280
      0c0002800800010000000001`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "fib daddr type", type: "local" },
        { kind: "verdict", verdict: "accept" },
      ],
    },
  ],
  [
    "add rule inet t post ip saddr != @v4 counter packets 0 bytes 0 return",
    `a06 c01
      060001007400000009000200706f737400000000f800048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      0500010002000000340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300
      0000000c08000400000000042c0001800b0001006c6f6f6b757000001c00028008000200000000010700010076340000
      0800050000000001140001800c000100636f756e7465720004000280300001800e000100696d6d656469617465000000
      1c0002800800010000000000100002800c00028008000100fffffffb`,
    {
      op: "add rule",
      ...c,
      statements: [{ kind: "saddr", family: "ip", set: "v4", negated: true }, COUNTER, RETURN],
    },
  ],
  [
    'add rule inet t post ip saddr & 0.0.0.1 == 0.0.0.0 meta l4proto tcp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.1:32768-65535 fully-random',
    `a06 c01
      060001007400000009000200706f7374000000008402048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      0500010002000000340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300
      0000000c08000400000000044c0001800c00010062697477697365003c00028008000100000000010800020000000001
      080006000000000008000300000000040c00048008000100000000010c00058008000100000000002c00018008000100
      636d700020000280080001000000000108000200000000000c000380080001000000000024000180090001006d657461
      0000000014000280080002000000001008000100000000012c00018008000100636d7000200002800800010000000001
      08000200000000000c000380050001000600000024000180090001006d65746100000000140002800800020000000007
      08000100000000013800018008000100636d70002c000280080001000000000108000200000000001800038014000100
      65746830000000000000000000000000140001800c000100636f756e74657200040002802c0001800e000100696d6d65
      64696174650000001800028008000100000000010c00028008000100c00002012c0001800e000100696d6d6564696174
      650000001800028008000100000000020c00028006000100800000002c0001800e000100696d6d656469617465000000
      1800028008000100000000030c00028006000100ffff000040000180080001006e617400340002800800010000000000
      08000200000000020800030000000001080005000000000208000600000000030800070000000012`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "saddr bits", family: "ip", mask: 1n, value: 0n },
        { kind: "l4proto", protocol: "tcp" },
        { kind: "oifname", name: "eth0", isPrefix: false },
        COUNTER,
        {
          kind: "snat",
          family: "ip",
          address: 0xc0000201n,
          ports: { first: 32_768, last: 65_535 },
          flags: ["fully-random"],
        },
      ],
    },
  ],
  [
    'add rule inet t post ip6 saddr & ::3 == ::1 oifname "bond*" counter packets 0 bytes 0 snat ip6 to 2001:db8::1',
    `a06 c01
      060001007400000009000200706f737400000000e801048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      050001000a000000340001800c0001007061796c6f616400240002800800010000000001080002000000000108000300
      000000080800040000000010640001800c00010062697477697365005400028008000100000000010800020000000001
      080006000000000008000300000000101800048014000100000000000000000000000000000000031800058014000100
      000000000000000000000000000000003800018008000100636d70002c00028008000100000000010800020000000000
      18000380140001000000000000000000000000000000000124000180090001006d657461000000001400028008000200
      0000000708000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      08000100626f6e64140001800c000100636f756e7465720004000280380001800e000100696d6d656469617465000000
      240002800800010000000001180002801400010020010db800000000000000000000000128000180080001006e617400
      1c0002800800010000000000080002000000000a0800030000000001`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "saddr bits", family: "ip6", mask: 3n, value: 1n },
        { kind: "oifname", name: "bond", isPrefix: true },
        COUNTER,
        { kind: "snat", family: "ip6", address: (0x20010db8n << 96n) + 1n, flags: [] },
      ],
    },
  ],
  [
    'add rule inet t post meta nfproto ipv6 meta l4proto udp oifname "abcdefghijklmn*" snat ip6 to [2001:db8::1]:1000 random',
    `a06 c01
      060001007400000009000200706f7374000000009c01048024000180090001006d657461000000001400028008000200
      0000000f08000100000000012c00018008000100636d700020000280080001000000000108000200000000000c000380
      050001000a00000024000180090001006d6574610000000014000280080002000000001008000100000000012c000180
      08000100636d700020000280080001000000000108000200000000000c00038005000100110000002400018009000100
      6d6574610000000014000280080002000000000708000100000000013800018008000100636d70002c00028008000100
      00000001080002000000000018000380120001006162636465666768696a6b6c6d6e0000380001800e000100696d6d65
      6469617465000000240002800800010000000001180002801400010020010db80000000000000000000000012c000180
      0e000100696d6d6564696174650000001800028008000100000000020c0002800600010003e800003800018008000100
      6e6174002c0002800800010000000000080002000000000a080003000000000108000500000000020800070000000006`,
    {
      op: "add rule",
      ...c,
      statements: [
        { kind: "nfproto", family: "ip6" },
        { kind: "l4proto", protocol: "udp" },
        { kind: "oifname", name: "abcdefghijklmn", isPrefix: true },
        {
          kind: "snat",
          family: "ip6",
          address: (0x20010db8n << 96n) + 1n,
          ports: { first: 1000, last: 1000 },
          flags: ["random"],
        },
      ],
    },
  ],
  [
    "delete rule inet t post handle 4",
    `a08 1
      060001007400000009000200706f7374000000000c0003000000000000000004`,
    { op: "delete rule", ...c, handle: 4 },
  ],
];

describe("messages are nft's own", () => {
  test.each(GOLDEN)("%s", (text, bytes, operation) => {
    expect(renderOperation(operation)).toEqual([`${text}\n`]);
    // Another operation after it, since the last of a batch asks for an acknowledgement.
    const [, message] = messagesOf([operation, LAST]);
    expect(message).toBe(unwrap(bytes));
  });
});

test("a batch is a transaction whose last operation asks for an acknowledgement", () => {
  const { bytes, ...rest } = encodeBatch([{ op: "delete table", ...t }, LAST], 41);
  expect(rest).toEqual({ firstSequence: 41, lastSequence: 43, owners: [0, 1], budget: 2560 });
  expect(Buffer.from(bytes).toString("hex").match(/.{8}/g)?.join(" ")).toMatchInlineSnapshot(
    `"14000000 10000100 29000000 00000000 0000000a 1c000000 020a0100 2a000000 00000000 01000000 06000100 74000000 28000000 080a0500 2b000000 00000000 01000000 06000100 74000000 09000200 706f7374 00000000 14000000 11000100 2c000000 00000000 0000000a"`,
  );
});

test("nothing to do is an empty transaction", () => {
  expect(encodeBatch([], 1).owners).toEqual([]);
  const none: Operation = { op: "add elements", ...t, set: "s", key: "ipv4_addr", elements: [] };
  expect(encodeBatch([none], 1).owners).toEqual([]);
});

test("a rule checks a packet's family once, and in a table of one family never", () => {
  const daddr = (set: string) => ({ kind: "daddr", family: "ip", set, negated: false }) as const;
  const rule = (family: "inet" | "ip", sets: readonly string[]): Operation => {
    return { op: "add rule", family, table: "t", chain: "c", statements: [...sets.map(daddr), COUNTER] };
  };
  const questions = (operation: Operation) => {
    const [, message = ""] = messagesOf([operation]);
    return message.split(Buffer.from("meta\0").toString("hex")).length - 1;
  };
  expect([rule("inet", ["a"]), rule("inet", ["a", "b"]), rule("ip", ["a"])].map(questions)).toEqual([
    1, 1, 0,
  ]);
});

test("what an operation counts is what its messages count", () => {
  for (const [, , operation] of GOLDEN)
    expect(operationBudget(operation)).toBe(encodeBatch([operation], 1).budget);
});

test("100,000 intervals are packed into memory that was sized beforehand", () => {
  const elements = Array.from({ length: 100_000 }, (_, index): ElementInterval => {
    return { first: BigInt(index) * 64n, last: BigInt(index) * 64n + 31n };
  });
  const operation: Operation = { op: "add elements", ...t, set: "v4", key: "ipv4_addr", elements };
  const { bytes } = encodeBatch([operation], 1);
  expect(bytes.buffer.byteLength - bytes.length).toBeLessThan(2_000);
  expect(bytes.length).toBeLessThan(4_100_000);
});

test("operations that cannot be sent are rejected before anything is sent", () => {
  expect(() =>
    encodeBatch([{ op: "delete table", family: "inet", table: "a b" }], 1),
  ).toThrowErrorMatchingInlineSnapshot(
    `[Error: delete table in table a b: "a b" is not a valid name in nft's language]`,
  );
});

/** Type, flags and attributes of each message, the batch's beginning and end included. */
function messagesOf(operations: readonly Operation[]): string[] {
  const bytes = Buffer.from(encodeBatch(operations, 1).bytes);
  const messages: string[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
    const [type, flags] = [bytes.readUInt16LE(at + 4), bytes.readUInt16LE(at + 6)];
    const attributes = bytes.subarray(at + 20, at + bytes.readUInt32LE(at));
    messages.push(`${type.toString(16)} ${flags.toString(16)} ${attributes.toString("hex")}`);
  }
  return messages;
}

/** A golden value without its lines' ends. */
function unwrap(golden: string): string {
  const [head = "", ...lines] = golden.split(/\n\s*/);
  return `${head} ${lines.join("")}`;
}

import { expect, test } from "vitest";
import { formatInterval } from "./address.ts";
import { COUNTER, type ElementInterval, type Operation } from "./operations.ts";
import { renderName, renderScript, renderStatements } from "./text.ts";

const t = { family: "inet", table: "ip-masq-agent" } as const;

test("a script is one command on each line", () => {
  const chain = { ...t, chain: "postrouting" } as const;
  const elements = Array.from({ length: 10 }, (_, index): ElementInterval => {
    return { first: BigInt(index * 256), last: BigInt(index * 256 + index) };
  });
  const operations: Operation[] = [
    { op: "add table", ...t, comment: "it's ours: ü \\" },
    { op: "add set", ...t, set: "v4", key: "ipv4_addr", size: 100, comment: "no masquerading" },
    { op: "add set", ...t, set: "v6", key: "ipv6_addr" },
    { op: "add elements", ...t, set: "v4", key: "ipv4_addr", elements },
    { op: "add elements", ...t, set: "v6", key: "ipv6_addr", elements: [] },
    { op: "add chain", ...chain, base: { type: "nat", hook: "postrouting", priority: -5, policy: "accept" } },
    { op: "add chain", ...t, chain: "masq" },
    {
      op: "add rule",
      ...chain,
      statements: [
        { kind: "daddr", family: "ip6", set: "v6", negated: true },
        { kind: "verdict", verdict: "goto", chain: "masq" },
      ],
    },
    {
      op: "add rule",
      ...chain,
      statements: [COUNTER, { kind: "verdict", verdict: "return" }],
      comment: "first",
    },
    {
      op: "add rule",
      ...chain,
      statements: [
        { kind: "fib daddr type", type: "local" },
        { kind: "verdict", verdict: "drop" },
      ],
    },
    { op: "delete rule", ...chain, handle: 8 },
    { op: "flush chain", ...chain },
    { op: "delete chain", ...chain },
    { op: "delete set", ...t, set: "v4" },
    {
      op: "delete elements",
      ...t,
      set: "v6",
      key: "ipv6_addr",
      elements: [{ first: 0n, last: (1n << 128n) - 1n }],
    },
    { op: "delete table", ...t },
  ];
  expect(renderScript(operations)).toMatchInlineSnapshot(`
    "add table inet ip-masq-agent { comment "it's ours: ü \\"; }
    add set inet ip-masq-agent v4 { type ipv4_addr; size 100; flags interval; comment "no masquerading"; }
    add set inet ip-masq-agent v6 { type ipv6_addr; flags interval; }
    add element inet ip-masq-agent v4 { 0.0.0.0, 0.0.1.0/31, 0.0.2.0-0.0.2.2, 0.0.3.0/30, 0.0.4.0-0.0.4.4, 0.0.5.0-0.0.5.5, 0.0.6.0-0.0.6.6, 0.0.7.0/29 }
    add element inet ip-masq-agent v4 { 0.0.8.0-0.0.8.8, 0.0.9.0-0.0.9.9 }
    add chain inet ip-masq-agent postrouting { type nat hook postrouting priority -5; policy accept; }
    add chain inet ip-masq-agent masq
    add rule inet ip-masq-agent postrouting ip6 daddr != @v6 goto masq
    add rule inet ip-masq-agent postrouting counter packets 0 bytes 0 return comment "first"
    add rule inet ip-masq-agent postrouting fib daddr type local drop
    delete rule inet ip-masq-agent postrouting handle 8
    flush chain inet ip-masq-agent postrouting
    delete chain inet ip-masq-agent postrouting
    delete set inet ip-masq-agent v4
    delete element inet ip-masq-agent v6 { ::/0 }
    delete table inet ip-masq-agent
    "
  `);
});

test("statements as nft writes them, and unknown ones by name", () => {
  const text = renderStatements([
    { kind: "l4proto", protocol: "sctp" },
    { kind: "unknown", name: "ct" },
    { kind: "numgen random", modulus: 3, below: 1 },
    {
      kind: "masquerade",
      ports: { first: 1024, last: 65_535 },
      flags: ["random", "fully-random", "persistent"],
    },
  ]);
  expect(text).toMatchInlineSnapshot(
    `"meta l4proto sctp <ct> numgen random mod 3 < 1 masquerade to :1024-65535 random,fully-random,persistent"`,
  );
  expect(renderStatements([{ kind: "masquerade", ports: { first: 7, last: 7 }, flags: [] }])).toBe(
    "masquerade to :7",
  );
});

test("sources, links and addresses as nft writes them", () => {
  const address = (0x20010db8n << 96n) + 1n;
  const lines = [
    renderStatements([{ kind: "saddr", family: "ip6", set: "from-ipv6", negated: true }]),
    renderStatements([{ kind: "saddr bits", family: "ip6", mask: 3n, value: 0n }]),
    renderStatements([{ kind: "oifname", name: "bond", isPrefix: true }]),
    renderStatements([{ kind: "snat", family: "ip6", address, flags: ["random"] }]),
    renderStatements([{ kind: "snat", family: "ip6", address, ports: { first: 7, last: 9 }, flags: [] }]),
    renderStatements([{ kind: "snat", family: "ip", address: 7n, ports: { first: 7, last: 7 }, flags: [] }]),
  ];
  expect(lines).toMatchInlineSnapshot(`
    [
      "ip6 saddr != @from-ipv6",
      "ip6 saddr & ::3 == ::",
      "oifname "bond*"",
      "snat ip6 to 2001:db8::1 random",
      "snat ip6 to [2001:db8::1]:7-9",
      "snat ip to 0.0.0.7:7",
    ]
  `);
});

test("the name of an operation leaves its content out", () => {
  const elements = [{ first: 0n, last: 1n }];
  const change: Operation = { op: "add elements", ...t, set: "v4", key: "ipv4_addr", elements };
  expect(renderName(change)).toBe("add element inet ip-masq-agent v4");
});

test.each([
  [0n, 0n, "0.0.0.0"],
  [0n, 2n ** 32n - 1n, "0.0.0.0/0"],
  [2n ** 32n - 1n, 2n ** 32n - 1n, "255.255.255.255"],
  [0x0a000000n, 0x0affffffn, "10.0.0.0/8"],
  [0x0a000001n, 0x0b000000n, "10.0.0.1-11.0.0.0"],
  [2n ** 31n + 1n, 2n ** 32n - 1n, "128.0.0.1-255.255.255.255"],
])("%d to %d is %s", (first, last, text) => {
  expect(formatInterval("ipv4_addr", { first, last })).toBe(text);
});

test.each([
  ["00000000000000000000000000000000", "::"],
  ["00000000000000000000000000000001", "::1"],
  ["fe800000000000000000000000000000", "fe80::"],
  ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
  ["20010db8000100000001000000000000", "2001:db8:1:0:1::"],
  ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
  ["00010002000300040005000600070008", "1:2:3:4:5:6:7:8"],
  ["10000000001000000000000000000100", "1000:0:10::100"],
  ["0000ffff000000000000ffff0a000001", "0:ffff::ffff:a00:1"],
  ["00000000000000000000ffff0a000001", "::ffff:a00:1"],
])("%s is %s", (hex, text) => {
  const address = BigInt(`0x${hex}`);
  expect(formatInterval("ipv6_addr", { first: address, last: address })).toBe(text);
});

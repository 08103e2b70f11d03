/** Rulesets for nftables.test.ts, and what reading them should find. */
import { expect } from "vitest";
import {
  type ChangeElements,
  COUNTER,
  type ElementInterval,
  type Operation,
  type SetKey,
  type SnatStatement,
  type Statement,
} from "../../../src/netlink/operations.ts";
import type { Listing } from "./nftables-runner.ts";

export const TABLE = { family: "inet", table: "ip-masq-agent" } as const;
export const V4 = { ...TABLE, set: "v4", key: "ipv4_addr" } as const;
export const V6 = { ...TABLE, set: "v6", key: "ipv6_addr" } as const;
export const POST = { ...TABLE, chain: "postrouting" } as const;
export const SETS: readonly Operation[] = [
  { op: "add table", ...TABLE },
  { op: "add set", ...V4 },
  { op: "add set", ...V6 },
];
export const CHAINS: readonly Operation[] = [
  ...SETS,
  { op: "add chain", ...TABLE, chain: "masq" },
  {
    op: "add chain",
    ...POST,
    base: { type: "nat", hook: "postrouting", priority: 101, policy: "accept" },
  },
];
export const RETURN: Statement = { kind: "verdict", verdict: "return" };
export const LAST: Readonly<Record<SetKey, bigint>> = {
  ipv4_addr: 2n ** 32n - 1n,
  ipv6_addr: 2n ** 128n - 1n,
};

export function interval(first: bigint, last: bigint): ElementInterval {
  return { first, last };
}

/** Intervals of 1 to 8 addresses, 64 apart, from the start of the family's addresses. */
export function many(key: SetKey, count: number): ElementInterval[] {
  const scale = key === "ipv4_addr" ? 64n : 2n ** 100n;
  return Array.from({ length: count }, (_, index) => {
    const first = BigInt(index) * scale;
    return { first, last: first + BigInt(index % 8) };
  });
}

const OUT = { kind: "oifname", name: "eth0", isPrefix: false } as const;
const CHANCE = { kind: "numgen random", modulus: 2, below: 1 } as const;
const PORTS = { ports: { first: 1024, last: 65_535 } } as const;

function snat(family: "ip" | "ip6", more: Partial<SnatStatement>): SnatStatement {
  const address = family === "ip" ? 0xc0000201n : (0x20010db8n << 96n) + 1n;
  return { kind: "snat", family, address, flags: [], ...more };
}

/** The rulesets of the tests above, by name. */
export function rulesets(): Record<string, readonly Operation[]> {
  const fill = (set: typeof V4 | typeof V6, elements: readonly ElementInterval[]): Operation[] => [
    ...SETS,
    { op: "add elements", ...set, elements },
  ];
  const rules = (...lists: readonly (readonly Statement[])[]): Operation[] => [
    ...CHAINS,
    ...lists.map((each): Operation => ({ op: "add rule", ...POST, statements: each })),
  ];
  const flags = ["random", "fully-random", "persistent"] as const;
  const subsets = Array.from({ length: 8 }, (_, bits) => flags.filter((_, index) => (bits >> index) & 1));
  const TCP = { kind: "l4proto", protocol: "tcp" } as const;
  const daddr = (family: "ip" | "ip6", negated = false): Statement => {
    return { kind: "daddr", family, set: family === "ip" ? "v4" : "v6", negated };
  };
  const comment = "it's ours: `ü` \\n 漢字 {;}#";
  return {
    "an empty table": [{ op: "add table", ...TABLE }],
    "empty sets": SETS,
    comments: [
      { op: "add table", ...TABLE, comment },
      { op: "add set", ...V4, size: 1000, comment },
      { op: "add chain", ...TABLE, chain: "masq" },
      { op: "add rule", ...TABLE, chain: "masq", statements: [COUNTER], comment: "x".repeat(128) },
      { op: "add rule", ...TABLE, chain: "masq", statements: [COUNTER, RETURN], comment },
    ],
    "every IPv4 address": fill(V4, [interval(0n, LAST.ipv4_addr)]),
    "every IPv6 address": fill(V6, [interval(0n, LAST.ipv6_addr)]),
    "both ends of IPv4": fill(V4, [interval(0n, 0n), interval(LAST.ipv4_addr, LAST.ipv4_addr)]),
    "both ends of IPv6": fill(V6, [interval(0n, 0n), interval(LAST.ipv6_addr, LAST.ipv6_addr)]),
    "intervals that are no prefix": fill(V4, [interval(5n, 9n), interval(2n ** 31n + 1n, LAST.ipv4_addr)]),
    "1,000 intervals": fill(V4, many("ipv4_addr", 1_000)),
    "1,000 intervals of IPv6": fill(V6, many("ipv6_addr", 1_000)),
    "20,000 intervals": fill(V4, many("ipv4_addr", 20_000)),
    "every flag of masquerade": rules(
      ...subsets.map((chosen): Statement[] => [{ kind: "masquerade", flags: chosen }]),
      ...subsets.map((chosen): Statement[] => [
        TCP,
        { kind: "masquerade", ports: { first: 1024, last: 65_535 }, flags: chosen },
      ]),
    ),
    "ports by chance": rules(
      ...(["tcp", "udp", "sctp"] as const).flatMap((protocol): Statement[][] => [
        [
          { kind: "l4proto", protocol },
          { kind: "numgen random", modulus: 3, below: 1 },
          { kind: "masquerade", ports: { first: 0, last: 0 }, flags: ["random"] },
        ],
        [
          { kind: "l4proto", protocol },
          { kind: "masquerade", ports: { first: 60_000, last: 61_000 }, flags: [] },
        ],
      ]),
    ),
    "sources and links": rules(
      ...(["ip", "ip6"] as const).flatMap((family): Statement[][] => [
        [{ kind: "saddr", family, set: family === "ip" ? "v4" : "v6", negated: true }, COUNTER, RETURN],
        [{ kind: "nfproto", family }, OUT, COUNTER, { kind: "masquerade", flags: ["fully-random"] }],
        [{ kind: "nfproto", family }, { ...OUT, isPrefix: true }, COUNTER, RETURN],
        [{ kind: "nfproto", family }, { ...OUT, name: "a+b.c@d" }, COUNTER, RETURN],
      ]),
    ),
    "addresses by the pod's": rules(
      ...(["ip", "ip6"] as const).flatMap((family): Statement[][] => [
        ...[0n, 5n, 15n].map((value): Statement[] => [
          { kind: "saddr bits", family, mask: 15n, value },
          COUNTER,
          snat(family, { flags: ["fully-random"] }),
        ]),
        [{ kind: "saddr bits", family, mask: 1n, value: 0n }, TCP, OUT, CHANCE, COUNTER, snat(family, PORTS)],
        [{ kind: "nfproto", family }, CHANCE, COUNTER, snat(family, { address: 7n })],
        ...subsets.map((chosen): Statement[] => [
          { kind: "nfproto", family },
          TCP,
          snat(family, { ports: { first: 1024, last: 1024 }, flags: chosen }),
        ]),
      ]),
    ),
    "everything at once": rules(
      [daddr("ip"), { kind: "counter", packets: 5n, bytes: 2n ** 40n }, RETURN],
      [daddr("ip6", true), COUNTER, { kind: "verdict", verdict: "jump", chain: "masq" }],
      [{ kind: "fib daddr type", type: "local" }, COUNTER, { kind: "verdict", verdict: "accept" }],
      [TCP, daddr("ip"), daddr("ip"), { kind: "verdict", verdict: "goto", chain: "masq" }],
      [daddr("ip6"), TCP, { kind: "verdict", verdict: "drop" }],
    ),
  };
}

/** What reading should find of what the operations make, in the kernel's order. */
export function expectedListing(operations: readonly Operation[]): unknown {
  const sets = operations.flatMap((each) => (each.op === "add set" ? [each] : []));
  const elementsOf = (name: string) =>
    operations.flatMap((each) => (isElementsOf(each, name) ? each.elements : []));
  return {
    table: operations.filter((each) => each.op === "add table").map(withoutOp)[0],
    chains: operations.filter((each) => each.op === "add chain").map(withoutOp),
    sets: sets.map((each) => ({ ...withoutOp(each), elements: elementsOf(each.set) })),
    rules: operations.filter((each) => each.op === "add rule").map(withoutOp),
  };
}

function isElementsOf(operation: Operation, name: string): operation is ChangeElements {
  return operation.op === "add elements" && "set" in operation && operation.set === name;
}

function withoutOp({ op: _, ...rest }: Operation): object {
  return rest;
}

/** A listing without what only the kernel knows. */
export function comparable({ table, chains, sets, rules }: Listing): unknown {
  const { dormant, ...rest } = table;
  expect(dormant).toBe(false);
  const plain = ({ handle: _, ...each }: { readonly handle: number }) => each;
  return {
    table: plain(rest),
    chains: chains.map(plain),
    sets: sets.map(({ set: { flags, ...set }, elements }) => {
      expect(flags).toEqual(["interval"]);
      return { ...plain(set), elements };
    }),
    rules: rules.map(plain),
  };
}

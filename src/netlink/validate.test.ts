import fc from "fast-check";
import { expect, test } from "vitest";
import { operation } from "../../test/lab/nftables-arbitrary.ts";
import { COUNTER, type Operation, type SnatStatement, type Statement } from "./operations.ts";
import { problemOf } from "./validate.ts";

const t = { family: "inet", table: "t" } as const;
const elements = (...pairs: readonly (readonly [bigint, bigint])[]): Operation => {
  const list = pairs.map(([first, last]) => ({ first, last }));
  return { op: "add elements", ...t, set: "s", key: "ipv4_addr", elements: list };
};
const rule = (...statements: readonly Statement[]): Operation => ({
  op: "add rule",
  ...t,
  chain: "c",
  statements,
});
const daddr = (family: "ip" | "ip6"): Statement => ({ kind: "daddr", family, set: "s", negated: false });
const masquerade = (first: number, last: number): Statement => {
  return { kind: "masquerade", ports: { first, last }, flags: [] };
};
const snat = (more: Partial<SnatStatement>): Statement => {
  return { kind: "snat", family: "ip", address: 1n, flags: [], ...more };
};
const TCP: Statement = { kind: "l4proto", protocol: "tcp" };
const RETURN: Statement = { kind: "verdict", verdict: "return" };

test.each<[string, Operation]>([
  ["is not a valid name in nft's language", { op: "delete table", family: "ip", table: "" }],
  ["is not a valid name in nft's language", { op: "delete table", family: "ip", table: "7up" }],
  ["is not a valid name in nft's language", { op: "delete table", family: "ip", table: "a".repeat(256) }],
  ["is not a valid name in nft's language", { op: "delete chain", ...t, chain: "a b" }],
  ["is not a valid name in nft's language", { op: "delete set", ...t, set: "a;b" }],
  ["a comment cannot have quotes", { op: "add table", ...t, comment: 'a "quoted" word' }],
  ["a comment cannot have quotes or control", { op: "add table", ...t, comment: "two\nlines" }],
  ["a comment cannot be empty", { op: "add table", ...t, comment: "" }],
  ["a comment has 128 bytes at most", { op: "add table", ...t, comment: "ü".repeat(65) }],
  ["sorted, disjoint", elements([5n, 9n], [1n, 2n])],
  ["sorted, disjoint", elements([5n, 9n], [9n, 12n])],
  ["sorted, disjoint", elements([5n, 4n])],
  ["sorted, disjoint", elements([-1n, 4n])],
  ["not a valid ipv4_addr", elements([0n, 2n ** 32n])],
  ["a rule needs a statement", rule()],
  ["nothing may follow verdict", rule(RETURN, COUNTER)],
  ["no packet is both", rule(daddr("ip"), daddr("ip6"))],
  ["no packet is both", { op: "add rule", family: "ip6", table: "t", chain: "c", statements: [daddr("ip")] }],
  ["ports need l4proto", rule(masquerade(1, 2))],
  ["ports are a range", rule(TCP, masquerade(2, 1))],
  ["ports are a range", rule(TCP, masquerade(1, 65_536))],
  ["ports need l4proto", rule(snat({ ports: { first: 1, last: 2 } }))],
  ["nothing may follow snat", rule(snat({}), COUNTER)],
  ["no packet is both", rule(daddr("ip6"), snat({}))],
  ["no packet is both", rule({ kind: "saddr bits", family: "ip6", mask: 1n, value: 0n }, snat({}))],
  ["snat needs an address", rule(snat({ address: 1n << 32n }))],
  ["a mask needs some bits", rule({ kind: "saddr bits", family: "ip", mask: 0n, value: 0n })],
  ["a mask needs some bits", rule({ kind: "saddr bits", family: "ip", mask: 2n ** 32n - 1n, value: 1n })],
  ["a mask needs some bits", rule({ kind: "saddr bits", family: "ip", mask: 2n, value: 1n })],
  ["not a valid name of a link", rule({ kind: "oifname", name: "a".repeat(16), isPrefix: false })],
  ["not a valid name of a link", rule({ kind: "oifname", name: 'e"h', isPrefix: true })],
  ["not a valid name of a link", rule({ kind: "oifname", name: "", isPrefix: true })],
  ["not a valid name of a set", rule({ kind: "saddr", family: "ip", set: "a b", negated: true })],
  ["numgen needs", rule({ kind: "numgen random", modulus: 3, below: 3 })],
  ["not a valid name of a chain", rule({ kind: "verdict", verdict: "jump", chain: "a b" })],
  ["a handle is a positive number", { op: "delete rule", ...t, chain: "c", handle: 0 }],
  ["a set's size", { op: "add set", ...t, set: "s", key: "ipv4_addr", size: 0 }],
])("%s", (problem, operation) => {
  expect(problemOf(operation)).toContain(problem);
});

test("what can be written is not rejected", () => {
  fc.assert(fc.property(operation, (any) => problemOf(any) === undefined));
  const touching = elements([0n, 4n], [5n, 5n], [2n ** 32n - 1n, 2n ** 32n - 1n]);
  expect([touching, elements([0n, 2n ** 32n - 1n])].map(problemOf)).toEqual([undefined, undefined]);
});

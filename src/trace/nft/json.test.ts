/** What rules of `nft -j` ask of a packet beyond what they list. */
import { describe, expect, test } from "vitest";
import { parseDump } from "../dump.ts";
import type { Packet } from "../model.ts";
import { tracePacket } from "../trace.ts";

const V4 = { family: "IPv4", destination: 0x08080808n } as const;
const V6 = { family: "IPv6", destination: 0x20010db8n << 96n } as const;
const field = (protocol: string, name: string) => ({ payload: { protocol, field: name } });
const match = (left: unknown, right: unknown, op = "==") => ({ match: { op, left, right } });
const LIMIT = { limit: { rate: 10, burst: 5, per: "second", inv: true } };

function trace(packet: Packet, expressions: readonly unknown[], nat = false) {
  const base = nat
    ? { type: "nat", hook: "postrouting", prio: 100 }
    : { type: "filter", hook: "forward", prio: 0 };
  const read = parseDump(
    JSON.stringify({
      nftables: [
        { table: { family: "inet", name: "t" } },
        { chain: { family: "inet", table: "t", name: "c", policy: "accept", ...base } },
        { rule: { family: "inet", table: "t", chain: "c", expr: expressions } },
      ],
    }),
  );
  if (!read.ok) throw new Error(read.message);
  return tracePacket(read.hooks, packet, { IPv4: [], IPv6: [] });
}

function fate(packet: Packet, ...expressions: readonly unknown[]): string {
  const { otherwise, possible } = trace(packet, expressions);
  return possible.length > 0 ? `perhaps ${possible.map(({ verdict }) => verdict)}` : otherwise.verdict;
}

describe("a field of a header is only in packets with that header, which nft does not list", () => {
  test.each<[name: string, packet: Packet, asked: object, expected: string]>([
    ["the next header, of IPv4", { ...V4, protocol: "tcp" }, match(field("ip6", "nexthdr"), "tcp"), "keep"],
    ["the next header", { ...V6, protocol: "tcp" }, match(field("ip6", "nexthdr"), "tcp"), "drop"],
    [
      "the next header, unequal",
      { ...V4, protocol: "tcp" },
      match(field("ip6", "nexthdr"), "udp", "!="),
      "keep",
    ],
    ["the protocol, of IPv6", { ...V6, protocol: "tcp" }, match(field("ip", "protocol"), "tcp"), "keep"],
    ["the protocol", { ...V4, protocol: "tcp" }, match(field("ip", "protocol"), "tcp"), "drop"],
    ["the hop limit, of IPv4", V4, match(field("ip6", "hoplimit"), 5), "keep"],
    ["the TTL", V4, match(field("ip", "ttl"), 5), "perhaps drop"],
    [
      "a type of ICMP, of TCP",
      { ...V4, protocol: "tcp" },
      match(field("icmp", "type"), "echo-request"),
      "keep",
    ],
    [
      "a type of ICMP",
      { ...V4, protocol: "icmp" },
      match(field("icmp", "type"), "echo-request"),
      "perhaps drop",
    ],
    ["a type of ICMPv6, of UDP", { ...V6, protocol: "udp" }, match(field("icmpv6", "type"), 128), "keep"],
    ["a length of UDP, of TCP", { ...V4, protocol: "tcp" }, match(field("udp", "length"), 100), "keep"],
  ])("%s", (_name, packet, asked, expected) => {
    expect(fate(packet, asked, { drop: null })).toBe(expected);
  });
});

describe("the first packet of a TCP connection has SYN alone", () => {
  const flags = field("tcp", "flags");
  const masked = (mask: unknown) => ({ "&": [flags, mask] });
  const USUAL = ["fin", "syn", "rst", "ack"];
  const TCP = { ...V4, protocol: "tcp" };
  test.each<[name: string, packet: Packet, asked: object, expected: string]>([
    ["no new connection without it", TCP, match(masked(USUAL), "syn", "!="), "keep"],
    ["only it", TCP, match(masked(USUAL), "syn"), "drop"],
    ["joined by |", TCP, match(masked({ "|": [{ "|": ["fin", "syn"] }, "rst"] }), "syn"), "drop"],
    ["two together", TCP, match(masked(["fin", "syn"]), ["fin", "syn"]), "keep"],
    ["none of all", TCP, match(flags, USUAL, "!"), "keep"],
    ["no ACK", TCP, match(flags, "ack", "!"), "drop"],
    ["any of two", TCP, match(flags, ["syn", "ack"], "in"), "drop"],
    ["another", TCP, match(flags, "rst", "in"), "keep"],
    ["a set", TCP, match(flags, { set: ["syn", "ack"] }), "drop"],
    ["nothing", TCP, match(masked(USUAL), 0), "keep"],
    ["of UDP", { ...V4, protocol: "udp" }, match(masked(USUAL), "syn", "!="), "keep"],
    ["a set with a name", TCP, match(flags, "@odd"), "perhaps drop"],
  ])("%s", (_name, packet, asked, expected) => {
    expect(fate(packet, asked, { drop: null })).toBe(expected);
  });
});

describe("an element with a limit of its own ends the rule for some packets", () => {
  const set = { op: "update", elem: field("ip", "saddr"), set: "@seen" };
  test.each<[string, object, string]>([
    ["in a set", { set: { ...set, stmt: [LIMIT] } }, "perhaps drop"],
    ["after a counter", { set: { ...set, stmt: [{ counter: null }, LIMIT] } }, "perhaps drop"],
    ["of connections", { set: { ...set, stmt: [{ "ct count": { val: 10, inv: true } }] } }, "perhaps drop"],
    ["in a meter", { meter: { key: field("ip", "saddr"), stmt: LIMIT, size: 9, name: "m" } }, "perhaps drop"],
    ["a counter is none", { set: { ...set, stmt: [{ counter: null }] } }, "drop"],
    ["nothing is none", { set }, "drop"],
  ])("%s", (_name, statement, expected) => {
    expect(fate(V4, statement, { drop: null })).toBe(expected);
  });
});

test("of sources that are chosen at random or in turn each is known", () => {
  const addr = {
    map: {
      key: { numgen: { mode: "inc", mod: 2, offset: 0 } },
      data: {
        set: [
          [0, "192.0.2.8"],
          [1, "192.0.2.9"],
        ],
      },
    },
  };
  const { otherwise, possible } = trace(V4, [{ snat: { family: "ip", addr } }], true);
  expect(possible).toEqual([]);
  expect(otherwise.targets?.map(({ addresses }) => addresses?.first).sort()).toEqual([
    0xc0000208n,
    0xc0000209n,
  ]);
});

test.each([
  [LIMIT, "limit rate over 10/second"],
  [{ limit: { rate: 5, per: "minute" } }, "limit rate 5/minute"],
  [{ quota: { val: 100, val_unit: "mbytes", inv: true } }, "quota over 100 mbytes"],
  [{ "ct count": { val: 10, inv: true } }, "ct count over 10"],
])("%j is said as nft writes it", (limit, expected) => {
  expect(trace(V4, [limit, { drop: null }]).possible[0]?.conditions).toEqual([expected]);
});

test("bytes of a header have the text that nft gives them", () => {
  const raw = match({ payload: { base: "nh", offset: 128, len: 32 } }, 0x0808_0808);
  const [first] = trace(V4, [raw, { drop: null }]).possible;
  expect(first?.conditions).toEqual(["@nh,128,32 0x8080808"]);
});

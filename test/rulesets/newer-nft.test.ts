/** The kernel's expressions, as a newer nft sends them, without a kernel: what they ask and do (newer-nft/README.md). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../src/core/cidr.ts";
import {
  cString,
  type Message,
  parseMessages,
  readAttributes,
  readString,
  readU32,
} from "../../src/netlink/attributes.ts";
import { FAMILIES, NFNL, NFT_MSG, NFTA } from "../../src/netlink/constants.ts";
import type { Expression } from "../../src/netlink/expression.ts";
import type { Query } from "../../src/netlink/query.ts";
import { type RawTableName, rawChains, rawElements, rawRules, rawSets } from "../../src/netlink/raw.ts";
import type { Hook, Packet } from "../../src/trace/model.ts";
import { rawHooks } from "../../src/trace/nft/table.ts";
import type { TraceOutcome } from "../../src/trace/outcome.ts";
import { tracePacket } from "../../src/trace/trace.ts";

/** NFTA_SET_ELEM_LIST_SET_ID and NFTA_LOOKUP_SET_ID: within a batch, sets without a name have numbers. */
const SET_ID = 4;
const LOOKUP_SET = 1;

/** A table in a recorded batch, as it would be read from the kernel. */
function tableIn(file: string, name: RawTableName): Hook[] {
  const all = parseMessages(readFileSync(join(import.meta.dirname, "newer-nft", file)));
  const of = (type: number) =>
    all.filter(
      (one) =>
        one.type === ((NFNL.SUBSYS_NFTABLES << 8) | type) &&
        one.family === FAMILIES[name.family] &&
        readString(readAttributes(one.attributes).get(NFTA.RULE.TABLE)) === name.table,
    );
  const elements = of(NFT_MSG.NEWSETELEM);
  const sets = of(NFT_MSG.NEWSET).map((message) => {
    const id = readU32(readAttributes(message.attributes).get(NFTA.SET.ID));
    const own = elements.filter((one) => readU32(readAttributes(one.attributes).get(SET_ID)) === id);
    const [set] = answersTo(rawSets(name), [message]);
    if (set === undefined) throw new Error("no set");
    return {
      set: { ...set, name: setName(set.name, id) },
      elements: answersTo(rawElements(name, set.name), own),
    };
  });
  const rules = answersTo(rawRules(name), of(NFT_MSG.NEWRULE));
  return rawHooks({
    ...name,
    chains: answersTo(rawChains(name), of(NFT_MSG.NEWCHAIN)),
    rules: rules.map((rule) => ({ ...rule, expressions: rule.expressions.map(nameLookup) })),
    sets,
  });
}

function answersTo<T>({ reader }: Query<T>, messages: readonly Message[]): T {
  const { add, value } = reader();
  for (const message of messages) add(message);
  return value();
}

function setName(name: string, id: number | undefined): string {
  return name.includes("%d") ? `__${id}` : name;
}

function nameLookup(expression: Expression): Expression {
  if (expression.name !== "lookup") return expression;
  const { attributes } = expression;
  const name = setName(readString(attributes.get(LOOKUP_SET)) ?? "", readU32(attributes.get(SET_ID)));
  return { ...expression, attributes: new Map([...attributes, [LOOKUP_SET, cString(name)]]) };
}

function outcomes(hooks: readonly Hook[], to: string, known: Partial<Packet> = {}): string[] {
  const { family, value } = parseAddress(to) ?? {};
  if (family === undefined || value === undefined) throw new Error(to);
  const packet = { family, destination: value, mark: 0, out: "eth0", ...known };
  const { possible, otherwise } = tracePacket(hooks, packet, { IPv4: [], IPv6: [] });
  return [...possible, otherwise].map(describeOutcome);
}

function describeOutcome({ verdict, by }: TraceOutcome): string {
  return by === undefined ? verdict : `${verdict} by ${by.chain} ${by.number}`;
}

describe.each(["sets-1.1.3.batch", "sets-1.1.7.batch"])("%s", (file) => {
  const hooks = tableIn(file, { family: "inet", table: "newer" });
  const egress = tableIn(file, { family: "netdev", table: "newer" });

  test.each<[string, Partial<Packet>, string[]]>([
    ["203.0.113.7", { protocol: "udp" }, ["masquerade by early 2"]],
    ["203.0.113.7", { protocol: "tcp" }, ["keep"]],
    ["203.0.113.7", { protocol: "udp", mark: 0x4000 }, ["masquerade by masquerading 3"]],
    ["8.8.8.8", {}, ["masquerade by post 4"]],
    ["172.16.9.9", {}, ["masquerade by post 4"]],
    ["172.16.9.70", {}, ["keep"]],
    ["172.16.9.201", {}, ["keep"]],
    ["192.168.5.5", { protocol: "udp" }, ["masquerade by post 6", "keep"]],
    ["192.168.5.5", { protocol: "udp", out: "lo" }, ["keep"]],
    ["192.168.5.5", { protocol: "tcp" }, ["keep"]],
    ["203.0.113.9", { protocol: "udp" }, ["masquerade by post 7", "keep"]],
    ["203.0.113.9", { protocol: "tcp" }, ["keep"]],
    ["10.96.0.50", {}, ["redirect by pre 1", "keep"]],
    ["10.96.0.50", { protocol: "udp" }, ["keep"]],
    ["10.96.0.53", { protocol: "udp" }, ["untracked by untracked 1", "keep"]],
    ["2001:db8::1", {}, ["keep"]],
  ])("to %s with %o", (to, known, expected) => {
    expect(outcomes(hooks, to, known)).toEqual(expected);
  });

  test("a device's egress hook that writes addresses may decide", () => {
    expect(egress.map(({ hook, priority }) => `${hook} ${priority}`)).toEqual(["egress 7"]);
    expect(outcomes(egress, "10.0.0.9")).toEqual(["unknown by out 1", "keep"]);
    expect(outcomes(egress, "10.0.0.8")).toEqual(["keep"]);
  });

  test("the answer is the same as nft's", () => {
    const post = hooks.find(({ chain }) => chain === "post");
    expect(post?.chains.get("post")?.map(({ number, text }) => `${number}: ${text}`)).toMatchInlineSnapshot(`
      [
        "1: jump masquerading",
        "3: meta nfproto ipv4 ip daddr vmap @verdicts",
        "3: meta nfproto ipv4 ip daddr vmap @verdicts",
        "3: meta nfproto ipv4 ip daddr vmap @verdicts",
        "4: meta nfproto ipv4 ip daddr @ranges ct state & 0x8 != 0 fib daddr type != local masquerade",
        "5: meta nfproto ipv4 ip daddr . meta l4proto @pairs oifname eth* (limit) return",
        "6: meta nfproto ipv4 ip daddr . meta l4proto @pairs oifname eth* masquerade",
        "7: meta nfproto ipv4 meta l4proto udp ip daddr . th dport @typed masquerade",
      ]
    `);
  });
});

test("what our reader does not know is left open", () => {
  const hooks = tableIn("unknown-1.1.7.batch", { family: "ip", table: "unknown" });
  expect(outcomes(hooks, "192.168.5.5")).toEqual(["masquerade by post 1"]);
  expect(outcomes(hooks, "8.8.8.8", { protocol: "udp" })).toEqual(["masquerade by post 2", "keep"]);
  expect(outcomes(hooks, "8.8.8.8", { protocol: "tcp" })).toEqual(["keep"]);
});

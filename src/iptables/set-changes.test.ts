import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createChainNode } from "../../test/lab/memory/chain-node.ts";
import { nearbyAddresses, nearbyCidr, type ScopedTexts, scopedRuleset } from "../../test/lab/scoped.ts";
import type { Family } from "../core/cidr.ts";
import { isCidr, parseCidr } from "../core/cidr.ts";
import { includes, longestPrefixIntervals } from "../core/intervals.ts";
import { type SetRole, setElements, weighedElements } from "./ipset.ts";
import { iptablesPlanner } from "./plan.ts";
import { meetElements } from "./set-changes.ts";

/** More sources than a chain has rules for. */
const nine = (from: number) => Array.from({ length: 9 }, (_, i) => `10.${2 * i + from}.0.0/16`);
const MANY = { ours: nine(0), kept: ["11.0.0.0/8", "12.0.0.0/8"] };

/** The commands of passes from one configuration to the next, with destinations in a set if there is more than one. */
function change(before: ScopedTexts, after: ScopedTexts): string[] {
  const node = createChainNode(iptablesPlanner("path", 1));
  node.pass(scopedRuleset("IPv4", before));
  return node.pass(scopedRuleset("IPv4", after)).calls;
}

describe("sets that change", () => {
  test("are both filled before the chain looks them up", () => {
    const node = createChainNode(iptablesPlanner("path", 1));
    const { calls, drift } = node.pass(scopedRuleset("IPv4", MANY));
    expect({ calls, drift }).toMatchInlineSnapshot(`
      {
        "calls": [
          "ipset destroy IP-MASQ-AGENT-4~",
          "ipset restore",
          "ipset destroy IP-MASQ-AGENT-N4",
          "ipset restore",
          "iptables -N IP-MASQ-AGENT -t nat",
          "iptables -C POSTROUTING -t nat ...",
          "iptables -A POSTROUTING -t nat ...",
          "iptables-restore --noflush",
        ],
        "drift": [
          "set IP-MASQ-AGENT-4 was missing",
          "set IP-MASQ-AGENT-S4 was missing",
          "chain IP-MASQ-AGENT was missing",
          "the jump from POSTROUTING to IP-MASQ-AGENT was missing",
        ],
      }
    `);
    expect([...node.ipset.sets.keys()]).toEqual(["IP-MASQ-AGENT-4", "IP-MASQ-AGENT-S4"]);
    expect(
      node.rules().map((rule) => rule.replace(/-m comment --comment "[^"]*" /, "")),
    ).toMatchInlineSnapshot(`
      [
        "-d 169.254.0.0/16 -j RETURN",
        "-m set --match-set IP-MASQ-AGENT-4 dst -j RETURN",
        "-m set ! --match-set IP-MASQ-AGENT-S4 src -j RETURN",
        "-j MASQUERADE --random-fully",
      ]
    `);
  });

  test("alone do so at once", () => {
    expect(change(MANY, { ...MANY, ours: nine(1) })).toMatchInlineSnapshot(`
      [
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
      ]
    `);
  });

  test("with another go by what both lists masquerade", () => {
    expect(change(MANY, { ours: nine(1), kept: ["11.0.0.0/8", "13.0.0.0/8"] })).toMatchInlineSnapshot(`
      [
        "ipset destroy IP-MASQ-AGENT-4~",
        "ipset restore",
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
        "ipset destroy IP-MASQ-AGENT-4~",
        "ipset restore",
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
      ]
    `);
  });

  test("with rules do as well", () => {
    expect(change(MANY, { ...MANY, ours: nine(1), interfaces: ["eth0"] })).toMatchInlineSnapshot(`
      [
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
        "iptables-restore --noflush",
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
      ]
    `);
  });

  test("to less need one step before the rules, to more one after", () => {
    const less = { ...MANY, others: ["10.0.7.0/24"] };
    expect(change(MANY, { ...less, interfaces: ["eth0"] })).toMatchInlineSnapshot(`
      [
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
        "iptables-restore --noflush",
      ]
    `);
    expect(change({ ...less, interfaces: ["eth0"] }, MANY)).toMatchInlineSnapshot(`
      [
        "iptables-restore --noflush",
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset restore",
      ]
    `);
  });

  test("go after the rules that looked them up", () => {
    expect(change(MANY, { ...MANY, ours: ["10.0.0.0/8"] })).toMatchInlineSnapshot(`
      [
        "iptables-restore --noflush",
        "ipset destroy IP-MASQ-AGENT-N4",
        "ipset destroy IP-MASQ-AGENT-S4",
      ]
    `);
  });
});

test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
  "an agent that is killed after step %i leaves what the next one puts right, and masquerades nothing more",
  (steps) => {
    const before = { ...MANY, interfaces: ["eth0"] };
    const meant = { ours: nine(1), kept: ["11.0.0.0/8", "13.0.0.0/8"], interfaces: ["eth1"] };
    const node = createChainNode(iptablesPlanner("path", 1));
    node.pass(scopedRuleset("IPv4", before));
    let left = steps;
    try {
      node.pass(scopedRuleset("IPv4", meant), () => {
        if (--left === 0) throw new Error("killed");
      });
    } catch {}
    // By its source in one configuration and by its link in the other, neither masquerades this flow.
    const kept = { source: 0x0a000001n, destination: 0x08080808n, link: "eth1" };
    expect(node.verdict(kept)).not.toContain("MASQUERADE");
    node.pass(scopedRuleset("IPv4", before));
    expect(node.plan(scopedRuleset("IPv4", before))).toEqual({ drift: [], steps: [] });
    expect([...node.ipset.sets.keys()].sort()).toEqual(["IP-MASQ-AGENT-4", "IP-MASQ-AGENT-S4"]);
  },
);

/** A list's elements from its CIDRs; those with `!` are exceptions. */
const listOf = (cidrs: readonly string[], exceptions: readonly string[]) =>
  setElements(
    [
      ...cidrs.map((text) => [text, true] as const),
      ...exceptions.map((text) => [text, false] as const),
    ].flatMap(([text, included]) => {
      const cidr = parseCidr(text);
      return isCidr(cidr) ? { cidr, included } : [];
    }),
  );

test.each<[SetRole, (a: boolean, b: boolean) => boolean]>([
  ["destinations", (a, b) => a || b],
  ["sources", (a, b) => a && b],
])("the meet of two sets of %s has what it should, and is no longer than both", (role, holds) => {
  const family = fc.constantFrom<Family>("IPv4", "IPv6");
  const lists = family.chain((one) => {
    const cidrs = fc.array(nearbyCidr(one), { maxLength: 6 });
    return fc.tuple(fc.constant(one), cidrs, cidrs, cidrs, cidrs);
  });
  fc.assert(
    fc.property(lists, ([family, a, notA, b, notB]) => {
      const [before, after] = [listOf(a, notA), listOf(b, notB)];
      const meet = meetElements({ role, family }, before, after);
      const [inBefore, inAfter, inMeet] = [before, after, meet].map((elements) =>
        longestPrefixIntervals(weighedElements(family, elements)),
      ) as [Intervals, Intervals, Intervals];
      for (const address of nearbyAddresses(family))
        expect(includes(inMeet, address)).toBe(
          holds(includes(inBefore, address), includes(inAfter, address)),
        );
      expect(meet.length).toBeLessThanOrEqual(before.length + after.length);
      expect(new Set(meet.map((element) => element.split(" ")[0])).size).toBe(meet.length);
    }),
  );
});
type Intervals = ReturnType<typeof longestPrefixIntervals>;

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { hasAddress } from "../../test/lab/memory/ipset.ts";
import { type ScopedTexts, scopedRuleset } from "../../test/lab/scoped.ts";
import { lastAddress } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { configuredEntries, type Layout, layoutOf, wantedSets } from "./layout.ts";

const TO_PORTS = [{ first: 1024n, last: 2047n }];
const chainLayout = (ruleset: Ruleset) => layoutOf(ruleset, []);
const setLayout = (ruleset: Ruleset) => layoutOf(ruleset, ["destinations"]);
const ipv4 = (text: string, options = {}) => rulesetOf("IPv4", text, options);

/** A layout as text: the chain's entries in order, and the set's elements. */
function shown({ entries, sets, refusal }: Layout) {
  const chain = entries.map(({ cidr, verdict }) => `${cidr.text} ${verdict}`);
  return { chain, set: sets.destinations?.elements, refusal };
}

test("it counts a user's entries, without link-local", () => {
  expect(configuredEntries(ipv4("nonMasqueradeCIDRs: [10.0.0.0/8, 169.254.0.0/16]"))).toBe(2);
  expect(configuredEntries(ipv4("nonMasqueradeCIDRs: []"))).toBe(0);
  expect(configuredEntries(ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.1.0.0/16]"))).toBe(2);
  expect(configuredEntries(ipv4(""))).toBe(3);
});

describe("a chain has", () => {
  const EXCEPTION = "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.128.0.0/9]";

  test("the entries as they are", () => {
    const ruleset = ipv4(EXCEPTION);
    expect(chainLayout(ruleset)).toMatchObject({ entries: ruleset.entries, sets: {} });
  });

  test("the entries as they are with ports, too, if there is no exception", () => {
    const ruleset = ipv4("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8, 10.0.0.0/8]", { toPorts: TO_PORTS });
    expect(chainLayout(ruleset)).toMatchObject({ entries: ruleset.entries, sets: {} });
  });

  test("the rest of them with ports and exceptions", () => {
    expect(shown(chainLayout(ipv4(EXCEPTION, { toPorts: TO_PORTS })))).toEqual({
      chain: ["10.0.0.0/9 return", "169.254.0.0/16 return"],
      set: undefined,
      refusal: undefined,
    });
  });
});

describe("a set has", () => {
  test("all, and the chain link-local as well: whichever changes first, link-local is kept", () => {
    expect(shown(setLayout(ipv4("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8]")))).toEqual({
      chain: ["169.254.0.0/16 return"],
      set: ["169.254.0.0/16", "11.0.0.0/8", "10.0.0.0/8"],
      refusal: undefined,
    });
  });

  test("all, and the chain nothing, if exceptions have to be weighed against link-local", () => {
    const text = "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [169.254.1.0/24]";
    expect(shown(setLayout(ipv4(text)))).toEqual({
      chain: [],
      set: ["169.254.1.0/24 nomatch", "169.254.0.0/16", "10.0.0.0/8"],
      refusal: undefined,
    });
  });

  test("the name of its chain", () => {
    expect(
      setLayout(rulesetOf("IPv6", "", { enableIPv6: true, masqChain: "X" })).sets.destinations?.name,
    ).toBe("X-6");
  });

  test.each([
    ["10.0.0.0/08", "write 10.0.0.0/8 instead of 10.0.0.0/08, which ipset reads differently"],
    ["::ffff:10.0.0.0/104", "write 10.0.0.0/8 instead of ::ffff:10.0.0.0/104, which ipset reads differently"],
  ])("nothing that ipset reads differently: %s", (text, refusal) => {
    expect(setLayout(ipv4(`nonMasqueradeCIDRs: [11.0.0.0/8, "${text}"]`)).refusal).toBe(refusal);
  });

  test("the verdicts of the chain, for every address", () => {
    const cidr = fc
      .record({ bits: fc.integer({ min: 0, max: 6 }), block: fc.nat(63) })
      .map(({ bits, block }) =>
        `${(block >> (6 - bits)) << (8 - bits)}.0.0.0/${bits}`.replace(/^.*\/0$/, "0.0.0.0/0"),
      );
    const lists = fc
      .uniqueArray(cidr, { maxLength: 12 })
      .chain((all) => fc.tuple(fc.constant(all), fc.subarray(all)));
    fc.assert(
      fc.property(lists, ([all, exceptions]) => {
        const kept = all.filter((one) => !exceptions.includes(one));
        const ruleset = ipv4(
          `nonMasqueradeCIDRs: ${JSON.stringify(kept)}\nmasqueradeCIDRs: ${JSON.stringify(exceptions)}`,
        );
        const { entries, sets } = setLayout(ruleset);
        for (const address of [...Array(64).keys()]
          .map((block) => (BigInt(block) << 26n) + 5n)
          .concat(0xa9fe0001n)) {
          const inChain = ruleset.entries.find(
            ({ cidr }) => cidr.base <= address && address <= lastAddress(cidr),
          );
          const early = entries.some(({ cidr }) => cidr.base <= address && address <= lastAddress(cidr));
          expect(early || hasAddress(sets.destinations?.elements ?? [], address)).toBe(
            inChain?.verdict === "return",
          );
        }
      }),
    );
  });
});

describe("sources", () => {
  const blocks = (count: number) => Array.from({ length: count }, (_, i) => `10.${2 * i}.0.0/16`);
  const wanted = (texts: ScopedTexts, threshold = 64) => wantedSets(scopedRuleset("IPv4", texts), threshold);

  test.each<[string, ScopedTexts, readonly string[]]>([
    ["eight blocks stay in the chain", { ours: blocks(8) }, []],
    ["nine make a set", { ours: blocks(9) }, ["sources"]],
    [
      "those that are not ours count as well",
      { ours: blocks(5), others: blocks(4).map((one) => one.replace("/16", "/17")) },
      ["sources"],
    ],
    [
      "those that come to fewer blocks do not",
      { ours: Array.from({ length: 16 }, (_, i) => `10.${i}.0.0/16`) },
      [],
    ],
    ["links alone make none", { interfaces: ["eth0", "eth1"] }, []],
    [
      "too many rules make one",
      {
        ours: blocks(5),
        pool: Array.from({ length: 3 }, (_, i) => `192.0.2.${i + 1}`),
        interfaces: ["eth0", "eth1"],
      },
      ["sources"],
    ],
  ])("%s", (_what, texts, roles) => {
    expect(wanted(texts)).toEqual(roles);
    expect(wanted(texts, 0)).toEqual([]);
  });

  test("a set has them as written, and everything else where none is ours", () => {
    const elements = (texts: ScopedTexts) => layoutOf(scopedRuleset("IPv4", texts), ["sources"]).sets.sources;
    expect(elements({ ours: ["10.0.0.0/8"], others: ["10.1.0.0/16"] })).toEqual({
      name: "IP-MASQ-AGENT-S4",
      elements: ["10.0.0.0/8", "10.1.0.0/16 nomatch"],
    });
    expect(elements({ others: ["10.1.0.0/16", "128.0.0.0/1"] })?.elements).toEqual([
      "10.1.0.0/16 nomatch",
      "128.0.0.0/1 nomatch",
      "0.0.0.0/1",
    ]);
  });

  test("too many for a chain without sets are refused, with the keys that make them", () => {
    const texts = {
      ours: blocks(20),
      interfaces: ["eth0", "bond+"],
      pool: ["192.0.2.1", "192.0.2.2"],
      toPorts: TO_PORTS,
    };
    expect(layoutOf(scopedRuleset("IPv4", texts), []).refusal).toMatchInlineSnapshot(
      `"masqueradeSourceCIDRs (20 blocks), outputInterfaces (2 names), outputAddresses (2 on this node), --to-ports (1 range) would take 320 masquerade rules, and a chain has at most 128 of them: shorten these lists, or let a set have the sources (--ipset-threshold, with ipset), or use --backend=nftables"`,
    );
    expect(layoutOf(scopedRuleset("IPv4", texts), ["sources"]).refusal).toBeUndefined();
  });

  test("links, addresses and ports that are too many in any case are refused as well", () => {
    const pool = Array.from({ length: 16 }, (_, i) => `192.0.2.${i + 1}`);
    const texts = { ours: ["10.0.0.0/8"], interfaces: ["a", "b", "c"], pool, toPorts: TO_PORTS };
    expect(layoutOf(scopedRuleset("IPv4", texts), ["sources"]).refusal).toMatchInlineSnapshot(
      `"outputInterfaces (3 names), outputAddresses (16 on this node), --to-ports (1 range) would take 192 masquerade rules, and a chain has at most 128 of them: shorten these lists, or use --backend=nftables"`,
    );
  });

  test("exceptions among destinations only leave out what returns", () => {
    const texts = { kept: ["10.0.0.0/8"], exceptions: ["10.128.0.0/9"], interfaces: ["eth0"] };
    expect(shown(layoutOf(scopedRuleset("IPv4", texts), [])).chain).toEqual([
      "10.0.0.0/9 return",
      "169.254.0.0/16 return",
    ]);
  });
});

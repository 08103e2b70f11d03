import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { hasAddress } from "../../test/lab/memory/ipset.ts";
import { lastAddress } from "../core/cidr.ts";
import { chainLayout, configuredEntries, type Layout, setLayout } from "./layout.ts";

const TO_PORTS = [{ first: 1024n, last: 2047n }];
const ipv4 = (text: string, options = {}) => rulesetOf("IPv4", text, options);

/** A layout as text: the chain's entries in order, and the set's elements. */
function shown({ entries, set, refusal }: Layout) {
  const chain = entries.map(({ cidr, verdict }) => `${cidr.text} ${verdict}`);
  return { chain, set: set?.elements, refusal };
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
    expect(chainLayout(ruleset)).toEqual({ entries: ruleset.entries });
  });

  test("the entries as they are with ports, too, if there is no exception", () => {
    const ruleset = ipv4("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8, 10.0.0.0/8]", { toPorts: TO_PORTS });
    expect(chainLayout(ruleset)).toEqual({ entries: ruleset.entries });
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
    expect(setLayout(rulesetOf("IPv6", "", { enableIPv6: true, masqChain: "X" })).set?.name).toBe("X-6");
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
        const { entries, set } = setLayout(ruleset);
        for (const address of [...Array(64).keys()]
          .map((block) => (BigInt(block) << 26n) + 5n)
          .concat(0xa9fe0001n)) {
          const inChain = ruleset.entries.find(
            ({ cidr }) => cidr.base <= address && address <= lastAddress(cidr),
          );
          const early = entries.some(({ cidr }) => cidr.base <= address && address <= lastAddress(cidr));
          expect(early || hasAddress(set?.elements ?? [], address)).toBe(inChain?.verdict === "return");
        }
      }),
    );
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ADDRESS_BITS,
  type Cidr,
  constantCidr,
  FAMILIES,
  type Family,
  formatCidr,
  lastAddress,
  parseAddress,
} from "./cidr.ts";
import { includes } from "./intervals.ts";
import type { Scope, SourceEntry } from "./ruleset.ts";
import { decidingSource, isOurs, matchesLink, sourceBlocks, sourceIntervals } from "./sources.ts";

/** `+10.0.0.0/8` is in masqueradeSourceCIDRs, `-10.0.0.0/8` in nonMasqueradeSourceCIDRs. */
const scopeOf = (texts: readonly string[], interfaces: readonly string[] = []): Scope => ({
  sources: texts.map((text) => ({ cidr: constantCidr(text.slice(1)), isOurs: text.startsWith("+") })),
  interfaces,
});

const address = (text: string) => parseAddress(text)?.value as bigint;
const texts = (cidrs: readonly Cidr[]) => cidrs.map(({ text }) => text).join(" ");

describe("the blocks for rules", () => {
  test.each<[string, Family, string[], string, string]>([
    ["no entry", "IPv4", [], "0.0.0.0/0", ""],
    ["no entry of IPv6", "IPv6", [], "::/0", ""],
    ["one", "IPv4", ["+10.244.0.0/16"], "10.244.0.0/16", ""],
    ["halves become one", "IPv4", ["+10.244.128.0/17", "+10.244.0.0/17"], "10.244.0.0/16", ""],
    ["one within another", "IPv6", ["+fd00:1::/32", "+fd00:1:2::/48"], "fd00:1::/32", ""],
    [
      "an excepted address is one block",
      "IPv4",
      ["+10.0.0.0/8", "-10.1.2.3/32"],
      "10.0.0.0/8",
      "10.1.2.3/32",
    ],
    ["only exceptions", "IPv4", ["-10.0.0.0/8"], "0.0.0.0/0", "10.0.0.0/8"],
    ["all excepted", "IPv4", ["-0.0.0.0/0"], "0.0.0.0/0", "0.0.0.0/0"],
    ["all excepted but one", "IPv4", ["-0.0.0.0/0", "+10.0.0.0/8"], "10.0.0.0/8", ""],
    ["an exception elsewhere says nothing", "IPv4", ["+10.0.0.0/8", "-11.0.0.0/8"], "10.0.0.0/8", ""],
    [
      "ours within excepted within ours",
      "IPv4",
      ["+10.244.0.0/16", "-10.244.0.0/20", "+10.244.5.0/24"],
      "10.244.0.0/16",
      "10.244.0.0/22 10.244.4.0/24 10.244.6.0/23 10.244.8.0/21",
    ],
  ])("%s", (_name, family, entries, ours, excepted) => {
    const blocks = sourceBlocks(family, scopeOf(entries));
    expect([texts(blocks.ours), texts(blocks.excepted)]).toEqual([ours, excepted]);
  });

  test("without a scope every source is ours", () => {
    expect(sourceBlocks("IPv4", undefined)).toEqual(sourceBlocks("IPv4", scopeOf([])));
  });
});

test.each<[string, string[], string | undefined, string, string | undefined, boolean | undefined]>([
  ["no scope's entries", [], undefined, "10.1.1.1", undefined, true],
  ["the longest prefix", ["+10.0.0.0/8", "-10.1.0.0/16"], undefined, "10.1.1.1", undefined, false],
  ["in either order", ["-10.1.0.0/16", "+10.0.0.0/8"], undefined, "10.2.1.1", undefined, true],
  ["nested twice", ["+10.0.0.0/8", "-10.1.0.0/16", "+10.1.1.0/24"], undefined, "10.1.1.1", undefined, true],
  ["no match among ours", ["+10.0.0.0/8"], undefined, "192.0.2.1", undefined, false],
  ["no match among exceptions", ["-10.0.0.0/8"], undefined, "192.0.2.1", undefined, true],
  ["this link", [], "eth0", "10.1.1.1", "eth0", true],
  ["a longer name", [], "eth0", "10.1.1.1", "eth01", false],
  ["any rest of a name", [], "bond+", "10.1.1.1", "bond0.100", true],
  ["an unknown link", [], "eth0", "10.1.1.1", undefined, undefined],
  ["a source that is not ours on an unknown link", ["-10.0.0.0/8"], "eth0", "10.1.1.1", undefined, false],
])("%s decides", (_name, entries, pattern, source, link, expected) => {
  const scope = scopeOf(entries, pattern === undefined ? [] : [pattern]);
  expect(isOurs(scope, address(source), link)).toBe(expected);
});

test.each([
  ["eth+", "eth", true],
  ["eth+", "et", false],
  ["+th0", "eth0", false],
  ["eth0", "eth0", true],
])("the name %s matches the link %s: %s", (pattern, link, expected) => {
  expect(matchesLink(pattern, link)).toBe(expected);
});

/** Entries over the last 64 addresses of a family, in which small numbers make every case. */
const SPACE_BITS = 6;
const origin = (family: Family) => (1n << BigInt(ADDRESS_BITS[family])) - (1n << BigInt(SPACE_BITS));
const entriesOf = (family: Family) =>
  fc.array(
    fc
      .record({ hostBits: fc.nat({ max: SPACE_BITS }), at: fc.nat({ max: 63 }), isOurs: fc.boolean() })
      .map(({ hostBits, at, isOurs }): SourceEntry => {
        const base = origin(family) + (BigInt(at) & ~((1n << BigInt(hostBits)) - 1n));
        const block = { family, base, bits: ADDRESS_BITS[family] - hostBits };
        return { cidr: { ...block, text: formatCidr(block) }, isOurs };
      }),
    { maxLength: 8 },
  );

/** Entry by entry, without intervals: the rule that the file implements. */
function isOursByHand(entries: readonly SourceEntry[], source: bigint): boolean {
  const around = entries.filter(({ cidr }) => cidr.base <= source && source <= lastAddress(cidr));
  const longest = Math.max(...around.map(({ cidr }) => cidr.bits));
  const deciding = around.find(({ cidr }) => cidr.bits === longest);
  return deciding === undefined ? entries.every((entry) => !entry.isOurs) : deciding.isOurs;
}

const contains = (cidrs: readonly Cidr[], source: bigint) =>
  cidrs.some((cidr) => cidr.base <= source && source <= lastAddress(cidr));

test.each(FAMILIES)("blocks, intervals and single sources agree with the rule: %s", (family) => {
  fc.assert(
    fc.property(entriesOf(family), (sources) => {
      const scope = { sources, interfaces: [] };
      const { ours, excepted } = sourceBlocks(family, scope);
      const intervals = sourceIntervals(family, scope);
      const some = Array.from({ length: 66 }, (_, i) => origin(family) + BigInt(i) - 1n);
      for (const source of some.filter((one) => one >> BigInt(ADDRESS_BITS[family]) === 0n)) {
        const expected = isOursByHand(sources, source);
        expect(isOurs(scope, source)).toBe(expected);
        expect(contains(ours, source) && !contains(excepted, source)).toBe(expected);
        expect(intervals === undefined || includes(intervals, source)).toBe(expected);
      }
    }),
  );
});

test.each(FAMILIES)("no two blocks could be one, and all exceptions are within ours: %s", (family) => {
  fc.assert(
    fc.property(entriesOf(family), (sources) => {
      const { ours, excepted } = sourceBlocks(family, { sources, interfaces: [] });
      for (const blocks of [ours, excepted]) {
        for (const [i, { base, bits }] of blocks.entries()) {
          const size = 1n << BigInt(ADDRESS_BITS[family] - bits);
          const twin = blocks[i + 1];
          expect(twin?.bits === bits && twin.base === base + size && base % (2n * size) === 0n).toBe(false);
          expect(twin === undefined || twin.base >= base + size).toBe(true);
        }
      }
      for (const cidr of excepted) {
        expect(contains(ours, cidr.base) && contains(ours, lastAddress(cidr))).toBe(true);
      }
    }),
  );
});

test("of equal prefixes the first decides", () => {
  const { sources } = scopeOf(["+10.0.0.0/8", "-10.0.0.0/8"]);
  expect(decidingSource(sources, address("10.1.1.1"))?.isOurs).toBe(true);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { type Cidr, type Family, formatCidr, isCidr, parseCidr } from "../core/cidr.ts";
import { longestPrefixIntervals } from "../core/intervals.ts";
import type { Entry } from "../core/ruleset.ts";
import { type OwnSet, ownSets, parseElements, renderSet, sameElements, setElements } from "./ipset.ts";

const CHAIN = "IP-MASQ-AGENT";
const WIDTH: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!isCidr(cidr)) throw new Error(`no CIDR: ${text}`);
  return cidr;
}

/** An entry that keeps the pod's address, or with `!` before it one that does not. */
function entry(text: string): Entry {
  const verdict = text.startsWith("!") ? "masquerade" : "return";
  return { cidr: cidrOf(text.replace("!", "")), verdict, reason: "configured" };
}

const weigh = ({ cidr, verdict }: Entry) => ({ cidr, included: verdict === "return" });
const elements = (...texts: string[]) => setElements(texts.map(entry).map(weigh));
const [ipv4, ipv6] = (["IPv4", "IPv6"] as const).map(
  (family) => ownSets({ chain: CHAIN, family })[0] as OwnSet,
) as [OwnSet, OwnSet];

/** Entries of one family; few addresses, so that prefixes nest, and both ends of the lengths. */
function entriesOf(family: Family): fc.Arbitrary<Entry[]> {
  const width = WIDTH[family];
  const bits = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(width - 1, width));
  const one = fc.record({ bits, high: fc.nat(31), low: fc.nat(3), kept: fc.boolean() });
  return fc.array(one, { maxLength: 12 }).map((all) =>
    all.map(({ bits, high, low, kept }): Entry => {
      const hostBits = BigInt(width - bits);
      const base = (((BigInt(high) << BigInt(width - 5)) + BigInt(low)) >> hostBits) << hostBits;
      const cidr = { family, base, bits, text: formatCidr({ family, base, bits }) };
      return { cidr, verdict: kept ? "return" : "masquerade", reason: "configured" };
    }),
  );
}

const entries = fc.constantFrom<Family>("IPv4", "IPv6").chain((family) => entriesOf(family));

/**
 * ip_set_hash_net of the kernel: the lengths that are there are tried from the longest on, and the first element that
 * matches decides; one that is marked says no. /0 can't be an element.
 */
function isInSet(list: readonly string[], family: Family, address: bigint): boolean {
  const parsed = list.map((element) => {
    const [text = "", ...options] = element.split(" ");
    const cidr = cidrOf(text.includes("/") ? text : `${text}/${WIDTH[family]}`);
    if (cidr.bits === 0) throw new Error("The value of the CIDR parameter of the IP address is invalid");
    return { cidr, nomatch: options.includes("nomatch") };
  });
  const lengths = [...new Set(parsed.map(({ cidr }) => cidr.bits))].sort((a, b) => b - a);
  for (const bits of lengths) {
    const hostBits = BigInt(WIDTH[family] - bits);
    const found = parsed.filter(
      ({ cidr }) => cidr.bits === bits && cidr.base >> hostBits === address >> hostBits,
    );
    if (found.length > 1) throw new Error("Element cannot be added to the set: it's already added");
    if (found[0] !== undefined) return !found[0].nomatch;
  }
  return false;
}

describe("elements", () => {
  test("keep what the longest prefix keeps, for any list", () => {
    fc.assert(
      fc.property(entries, fc.array(fc.tuple(fc.nat(31), fc.nat(4)), { minLength: 1 }), (list, samples) => {
        const family = list[0]?.cidr.family ?? "IPv4";
        const kept = longestPrefixIntervals(list.map(weigh));
        const text = setElements(list.map(weigh));
        for (const [high, low] of samples) {
          const address = (BigInt(high) << BigInt(WIDTH[family] - 5)) + BigInt(low);
          const expected = kept.some(({ first, last }) => first <= address && address <= last);
          expect(isInSet(text, family, address)).toBe(expected);
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, string[], readonly string[]]>([
    ["have no length if they are one address", ["10.0.0.1/32", "fd00::1/128"], ["10.0.0.1", "fd00::1"]],
    [
      "are marked if they are exceptions",
      ["10.0.0.0/8", "!10.1.0.0/16"],
      ["10.0.0.0/8", "10.1.0.0/16 nomatch"],
    ],
    ["are canonical", ["2001:DB8:0::/48", "::1.2.3.4/128"], ["2001:db8::/48", "::102:304"]],
    ["that are doubled count once, the first", ["10.0.0.0/8", "!10.0.0.0/8"], ["10.0.0.0/8"]],
    ["of /0 are two halves", ["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"]],
    ["of ::/0 are two halves", ["!::/0"], ["::/1 nomatch", "8000::/1 nomatch"]],
    [
      "of /0 give way to a half that is listed",
      ["0.0.0.0/0", "!128.0.0.0/1"],
      ["128.0.0.0/1 nomatch", "0.0.0.0/1"],
    ],
  ])("%s", (_what, list, expected) => {
    expect(elements(...list)).toEqual(expected);
  });
});

describe("names", () => {
  test("are the chain's, the family's and the list's, and fit ipset's 31 characters", () => {
    const names = (chain: string) =>
      (["IPv4", "IPv6"] as const).flatMap((family) =>
        ownSets({ chain, family }).flatMap(({ name, fresh }) => [name, fresh]),
      );
    expect(names("X")).toEqual(["X-4", "X-4~", "X-S4", "X-N4", "X-6", "X-6~", "X-S6", "X-N6"]);
    const longest = names("x".repeat(28));
    expect(Math.max(...longest.map((name) => name.length))).toBe(31);
    expect(new Set(longest).size).toBe(8);
  });
});

describe("the text for ipset restore", () => {
  test("fills a set that is new", () => {
    expect(renderSet(ipv4, ["10.0.0.0/8", "10.1.0.0/16 nomatch"], false)).toMatchInlineSnapshot(`
      "create IP-MASQ-AGENT-4 hash:net family inet hashsize 1024 maxelem 65536
      add IP-MASQ-AGENT-4 10.0.0.0/8
      add IP-MASQ-AGENT-4 10.1.0.0/16 nomatch
      "
    `);
  });

  test("fills another and swaps the two, if there is one", () => {
    expect(renderSet(ipv6, ["fd00::/8"], true)).toMatchInlineSnapshot(`
      "create IP-MASQ-AGENT-6~ hash:net family inet6 hashsize 1024 maxelem 65536
      add IP-MASQ-AGENT-6~ fd00::/8
      swap IP-MASQ-AGENT-6~ IP-MASQ-AGENT-6
      destroy IP-MASQ-AGENT-6~
      "
    `);
  });

  test("has no elements for an empty list", () => {
    expect(renderSet(ipv4, [], false)).toMatchInlineSnapshot(`
      "create IP-MASQ-AGENT-4 hash:net family inet hashsize 1024 maxelem 65536
      "
    `);
  });

  test("leaves room for all of them, at least as much as the kernel does", () => {
    const head = (count: number) => renderSet(ipv4, Array(count).fill("10.0.0.1"), false).split("\n")[0];
    expect([head(65_536), head(65_537)]).toMatchInlineSnapshot(`
      [
        "create IP-MASQ-AGENT-4 hash:net family inet hashsize 16384 maxelem 65536",
        "create IP-MASQ-AGENT-4 hash:net family inet hashsize 16384 maxelem 65537",
      ]
    `);
  });
});

describe("a listing", () => {
  test("of rendered text gives the elements again", () => {
    fc.assert(
      fc.property(entries, fc.boolean(), (list, exists) => {
        const text = setElements(list.map(weigh));
        const family = list[0]?.cidr.family ?? "IPv4";
        expect(parseElements(renderSet(family === "IPv4" ? ipv4 : ipv6, text, exists))).toEqual(text);
      }),
    );
  });

  test("by ipset save is read, with dotted tails as glibc writes them", () => {
    const listing = `create IP-MASQ-AGENT-6 hash:net family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
add IP-MASQ-AGENT-6 ::1.2.3.4
add IP-MASQ-AGENT-6 ::1.2.0.0/112 nomatch
add IP-MASQ-AGENT-6 fd00::/8
`;
    expect(parseElements(listing)).toEqual(["::102:304", "::102:0/112 nomatch", "fd00::/8"]);
    expect(parseElements("add IP-MASQ-AGENT-4 10.0.0.1\n")).toEqual(["10.0.0.1"]);
    expect(parseElements("")).toEqual([]);
  });

  test("keeps unreadable text as it is", () => {
    expect(parseElements("add x fd00::1.2.3.4.5 timeout 3\n")).toEqual(["fd00::1.2.3.4.5 timeout 3"]);
  });
});

test.each<[string, string[], string[], boolean]>([
  ["the same in another order", ["a", "b"], ["b", "a"], true],
  ["one more", ["a"], ["a", "b"], false],
  ["one less", ["a", "b"], ["a"], false],
  ["another", ["a", "b"], ["a", "c"], false],
  ["none", [], [], true],
])("lists with %s are compared as sets", (_what, a, b, same) => {
  expect(sameElements(a, b)).toBe(same);
});

test("the elements of a configuration, with link-local", () => {
  const { entries } = rulesetOf(
    "IPv4",
    "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [169.254.169.254/32]",
  );
  expect(setElements(entries.map(weigh))).toEqual([
    "169.254.169.254 nomatch",
    "169.254.0.0/16",
    "10.0.0.0/8",
  ]);
});

import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ADDRESS_BITS, constantCidr, FAMILIES, type Family, parseAddress } from "../core/cidr.ts";
import { SPECIAL_RANGES } from "../core/special-ranges.ts";
import { createAddressMap } from "./pseudonyms.ts";

/** A mapping that depends on a number instead of chance. */
function mapping(seed: number) {
  return createAddressMap((text) => createHash("sha256").update(`${seed} ${text}`).digest());
}

const seeds = fc.nat(1000);
const families = fc.constantFrom(...FAMILIES);
const EDGES = [
  ...SPECIAL_RANGES.map(({ text }) => text),
  ...["::/96", "fe80::/64", "ff01::/16", "ff02::/96", "ff02::1:ff00:0/104"],
].map(constantCidr);

/** Addresses of all kinds: anywhere, and near the edges of special ranges, where a rule of thumb goes wrong. */
const addresses = (family: Family) =>
  fc.oneof(
    fc.bigInt({ min: 0n, max: (1n << BigInt(ADDRESS_BITS[family])) - 1n }),
    fc
      .tuple(
        fc.constantFrom(...EDGES.filter((one) => one.family === family)),
        fc.bigInt({ min: -3n, max: 70_000n }),
      )
      .map(([{ base }, offset]) => BigInt.asUintN(ADDRESS_BITS[family], base + offset)),
  );
/** An address, and one that may have its first bits in common with it. */
const pairs = families.chain((family) =>
  fc
    .tuple(addresses(family), addresses(family), fc.nat(ADDRESS_BITS[family]))
    .chain(([a, b, bits]) =>
      fc.tuple(fc.constant(family), fc.constant(a), fc.constantFrom(b, a ^ BigInt.asUintN(bits, b))),
    ),
);

/** How many leading bits two addresses have in common. */
function common(family: Family, a: bigint, b: bigint): number {
  return a === b ? ADDRESS_BITS[family] : ADDRESS_BITS[family] - (a ^ b).toString(2).length;
}

/** What IANA calls an address, to the narrowest range. */
function kindOf(family: Family, value: bigint): string | undefined {
  return SPECIAL_RANGES.filter(({ text }) => {
    const { family: theirs, base, bits } = constantCidr(text);
    const shift = BigInt(ADDRESS_BITS[family] - bits);
    return theirs === family && base >> shift === value >> shift;
  }).at(-1)?.text;
}

describe("a pseudonym", () => {
  test("has as many leading bits in common with another as the addresses had", () => {
    fc.assert(
      fc.property(seeds, pairs, (seed, [family, a, b]) => {
        const { map } = mapping(seed);
        // Addresses after NAT64's prefix are those of IPv4, which has prefixes of its own.
        fc.pre(kindOf(family, a) !== "64:ff9b::/96" && kindOf(family, b) !== "64:ff9b::/96");
        expect(common(family, map(family, a), map(family, b))).toBe(common(family, a, b));
      }),
      { numRuns: 500 },
    );
  });

  test("is of the same special-purpose range, or of none as before", () => {
    fc.assert(
      fc.property(seeds, pairs, (seed, [family, a]) => {
        expect(kindOf(family, mapping(seed).map(family, a))).toBe(kindOf(family, a));
      }),
      { numRuns: 500 },
    );
  });

  test("of a network is the network of its addresses' pseudonyms", () => {
    fc.assert(
      fc.property(seeds, pairs, fc.nat(128), (seed, [family, a], length) => {
        fc.pre(kindOf(family, a) !== "64:ff9b::/96");
        const bits = Math.min(length, ADDRESS_BITS[family]);
        const shift = BigInt(ADDRESS_BITS[family] - bits);
        const { map } = mapping(seed);
        const network = map(family, (a >> shift) << shift, bits);
        expect(network >> shift).toBe(map(family, a) >> shift);
        expect((network >> shift) << shift).toBe(network);
      }),
      { numRuns: 500 },
    );
  });

  test("is never the address itself, unless that says nothing about a node", () => {
    fc.assert(
      fc.property(seeds, pairs, (seed, [family, a]) => {
        const common = [
          "0.0.0.0/8",
          "127.0.0.0/8",
          "169.254.0.0/16",
          "192.0.0.0/24",
          "192.88.99.0/24",
          "224.0.0.0/4",
        ];
        const isCommon =
          [...common, "240.0.0.0/4", "ff00::/8", "64:ff9b::/96"].includes(kindOf(family, a) ?? "") ||
          a >> 32n === 0n;
        if (family === "IPv4" ? !isCommon : !isCommon && a > 0xffffffffn)
          expect(mapping(seed).map(family, a)).not.toBe(a);
      }),
      { numRuns: 500 },
    );
  });
});

describe("text", () => {
  test.each([
    "0.0.0.0/0",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "169.254.169.254",
    "127.0.0.1",
    "255.255.255.255",
    "0.0.0.1/0.0.0.1",
    "224.0.0.251",
    "::/0",
    "::1",
    "fc00::/7",
    "fe80::/10",
    "ff02::1",
  ])("%s stays", (text) => {
    expect(mapping(1).mapText(text)).toBe(text);
  });

  test.each([
    ["10.1.2.3", "10.1.2.3/32"],
    ["010.001.2.3", "10.1.2.3"],
    ["10.1.0.0/255.255.0.0", "10.1.0.0/16"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["64:ff9b::a01:203", "10.1.2.3"],
    ["::ffff:10.1.0.0/112", "10.1.0.0/16"],
  ])("%s is mapped as %s is", (text, same) => {
    const { mapText } = mapping(7);
    const value = (one: string) => (parseAddress(one.split("/")[0] ?? "")?.value ?? 0n) & 0xffffffffn;
    expect(value(mapText(text) ?? "")).toBe(value(mapText(same) ?? ""));
  });

  test("an address within a network keeps its length, and changes in all bits", () => {
    const { mapText } = mapping(3);
    expect(mapText("10.1.2.3/24")).toBe(`${mapText("10.1.2.3")}/24`);
  });

  test("a range stays one, from the lower to the higher end", () => {
    fc.assert(
      fc.property(seeds, pairs, (seed, [family, a, b]) => {
        fc.pre(a !== b);
        const { mapText } = mapping(seed);
        const write = (value: bigint) =>
          family === "IPv4"
            ? [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".")
            : (value.toString(16).padStart(32, "0").match(/.{4}/g) ?? []).join(":");
        const [low, high] = a < b ? [a, b] : [b, a];
        fc.pre(family === "IPv4" || (low >> 32n !== 0xffffn && high >> 32n !== 0xffffn));
        const ends = (mapText(`${write(low)}-${write(high)}`) ?? "").split("-").map(parseAddress);
        expect((ends[0]?.value ?? 1n) < (ends[1]?.value ?? 0n)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test.each(["1.8.9", "10.1", "256.1.1.1", "a.b.c.d", "12:34:56", "", "1.2.3.4.5"])(
    "%j is no address",
    (text) => {
      expect(mapping(1).mapText(text)).toBeUndefined();
    },
  );
});

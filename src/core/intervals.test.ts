import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ADDRESS_BITS,
  type Cidr,
  FAMILIES,
  type Family,
  formatAddress,
  formatCidr,
  lastAddress,
  parseCidr,
} from "./cidr.ts";
import { decompose, type Interval, longestPrefixIntervals, type WeighedPrefix } from "./intervals.ts";

/** `+10.0.0.0/8` is included, `-10.0.0.0/8` is not. */
const choice = (text: string): WeighedPrefix => ({
  cidr: parseCidr(text.slice(1)) as Cidr,
  included: text.startsWith("+"),
});

const show = (family: Family, { first, last }: Interval): string =>
  `${formatAddress(family, first)}-${formatAddress(family, last)}`;

test.each([
  ["nothing", [], []],
  ["one prefix", ["+10.0.0.0/8"], ["10.0.0.0-10.255.255.255"]],
  ["only exclusions", ["-10.0.0.0/8"], []],
  ["everything", ["+0.0.0.0/0"], ["0.0.0.0-255.255.255.255"]],
  ["adjacent ones become one", ["+10.0.1.0/24", "+10.0.0.0/24"], ["10.0.0.0-10.0.1.255"]],
  ["one inside the other", ["+10.0.0.0/8", "+10.1.0.0/16"], ["10.0.0.0-10.255.255.255"]],
  ["a hole", ["+10.0.0.0/8", "-10.1.0.0/16"], ["10.0.0.0-10.0.255.255", "10.2.0.0-10.255.255.255"]],
  ["a hole at the start", ["+10.0.0.0/8", "-10.0.0.0/9"], ["10.128.0.0-10.255.255.255"]],
  ["a hole at the very end", ["+0.0.0.0/0", "-255.255.255.255/32"], ["0.0.0.0-255.255.255.254"]],
  [
    "an island in a hole",
    ["+10.0.0.0/8", "-10.1.0.0/16", "+10.1.2.0/24"],
    ["10.0.0.0-10.0.255.255", "10.1.2.0-10.1.2.255", "10.2.0.0-10.255.255.255"],
  ],
  ["of equal ones the first", ["+10.0.0.0/8", "-10.0.0.0/8"], ["10.0.0.0-10.255.255.255"]],
  ["of equal ones the first, excluded", ["-10.0.0.0/8", "+10.0.0.0/8"], []],
])("%s", (_name, texts, expected) => {
  const intervals = longestPrefixIntervals(texts.map(choice));
  expect(intervals.map((interval) => show("IPv4", interval))).toEqual(expected);
});

test("the whole of IPv6 but its last address", () => {
  const all = [choice("+::/0"), choice("-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")];
  expect(longestPrefixIntervals(all)).toEqual([{ first: 0n, last: (1n << 128n) - 2n }]);
});

/** Blocks of the last `space` addresses of a family, so that small numbers cover every case. */
const smallChoices = (family: Family, spaceBits: number) => {
  const origin = (1n << BigInt(ADDRESS_BITS[family])) - (1n << BigInt(spaceBits));
  const one = fc
    .record({ hostBits: fc.nat({ max: spaceBits }), at: fc.nat(), included: fc.boolean() })
    .map(({ hostBits, at, included }): WeighedPrefix => {
      const block = (BigInt(at) % (1n << BigInt(spaceBits))) & ~((1n << BigInt(hostBits)) - 1n);
      const cidr = { family, base: origin + block, bits: ADDRESS_BITS[family] - hostBits };
      return { cidr: { ...cidr, text: formatCidr(cidr) }, included };
    });
  return { origin, choices: fc.array(one, { maxLength: 12 }) };
};

/** What a router would do: the longest prefix that contains the address, the first of equals. */
const naive = (choices: readonly WeighedPrefix[], address: bigint): boolean => {
  let best: WeighedPrefix | undefined;
  for (const candidate of choices) {
    const { base, bits } = candidate.cidr;
    const inside = base <= address && address <= lastAddress(candidate.cidr);
    if (inside && bits > (best?.cidr.bits ?? -1)) best = candidate;
  }
  return best?.included ?? false;
};

describe.each(FAMILIES)("%s", (family) => {
  test("intervals hold exactly what the longest prefix includes, sorted and apart", () => {
    const { origin, choices } = smallChoices(family, 6);
    fc.assert(
      fc.property(choices, (list) => {
        const intervals = longestPrefixIntervals(list);
        const addresses = Array.from({ length: 64 }, (_, i) => origin + BigInt(i));
        const inside = (at: bigint) => intervals.some(({ first, last }) => first <= at && at <= last);
        expect(addresses.filter(inside)).toEqual(addresses.filter((address) => naive(list, address)));
        const apart = ({ first, last }: Interval, i: number) =>
          first <= last && (i === 0 || first > (intervals[i - 1]?.last ?? 0n) + 1n);
        expect(intervals.every(apart)).toBe(true);
      }),
    );
  });

  test("decompose covers an interval exactly, with as few blocks as there can be", () => {
    const size = 1n << BigInt(ADDRESS_BITS[family]);
    const end = fc.oneof(
      fc.bigInt({ min: 0n, max: size - 1n }),
      fc.bigInt({ min: 0n, max: 300n }),
      fc.bigInt({ min: size - 300n, max: size - 1n }),
    );
    fc.assert(
      fc.property(end, end, (a, b) => {
        const interval = a < b ? { first: a, last: b } : { first: b, last: a };
        const blocks = decompose(family, interval);
        const firsts = blocks.map(({ base }) => base);
        const lasts = blocks.map(lastAddress);
        expect([...firsts, interval.last + 1n]).toEqual([interval.first, ...lasts.map((last) => last + 1n)]);
        expect(blocks.every(({ base, bits, text }) => text === formatCidr({ family, base, bits }))).toBe(
          true,
        );
        // Aligned blocks that tile an interval are fewest when no two neighbours are halves of one block.
        const halves = blocks.filter((block, i) => {
          const next = blocks[i + 1];
          return next?.bits === block.bits && (block.base ^ next.base) === sizeOf(block);
        });
        expect(halves).toEqual([]);
        expect(blocks.filter((block) => block.base % sizeOf(block) !== 0n)).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });
});

function sizeOf(cidr: Cidr): bigint {
  return lastAddress(cidr) - cidr.base + 1n;
}

test("decompose of two unaligned ends", () => {
  const interval = {
    first: (parseCidr("10.0.0.1/32") as Cidr).base,
    last: (parseCidr("10.0.1.2/32") as Cidr).base,
  };
  expect(decompose("IPv4", interval).map(({ text }) => text)).toMatchInlineSnapshot(`
    [
      "10.0.0.1/32",
      "10.0.0.2/31",
      "10.0.0.4/30",
      "10.0.0.8/29",
      "10.0.0.16/28",
      "10.0.0.32/27",
      "10.0.0.64/26",
      "10.0.0.128/25",
      "10.0.1.0/31",
      "10.0.1.2/32",
    ]
  `);
});

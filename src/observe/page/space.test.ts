import fc from "fast-check";
import { expect, test } from "vitest";
import { type Family, isCidr, lastAddress, parseCidr } from "../../core/cidr.ts";
import { type Interval, longestPrefixIntervals } from "../../core/intervals.ts";
import { intervalName, intervalText, spaceShares } from "./space.ts";

function block(text: string): Interval {
  const cidr = parseCidr(text);
  if (!isCidr(cidr)) throw new Error(text);
  return { first: cidr.base, last: lastAddress(cidr) };
}

test("shares of the octets and of the whole", () => {
  const { whole, octets } = spaceShares("IPv4", [
    block("10.0.0.0/8"),
    block("172.16.0.0/12"),
    block("240.0.0.0/4"),
  ]);
  expect(octets.flatMap((share, octet) => (share === 0 ? [] : [[octet, share]]))).toEqual([
    [10, 1],
    [172, 1 / 16],
    ...Array.from({ length: 16 }, (_, i) => [240 + i, 1]),
  ]);
  expect(whole).toBe((1 + 1 / 16 + 16) / 256);
});

test("all of a family, none of it, and single addresses at the ends", () => {
  expect(spaceShares("IPv4", [block("0.0.0.0/0")])).toEqual({ whole: 1, octets: new Array(256).fill(1) });
  expect(spaceShares("IPv4", [])).toEqual({ whole: 0, octets: new Array(256).fill(0) });
  const { octets } = spaceShares("IPv4", [block("0.0.0.0/32"), block("255.255.255.255/32")]);
  expect([octets[0], octets[1], octets[254], octets[255]]).toEqual([2 ** -24, 0, 0, 2 ** -24]);
  expect(spaceShares("IPv6", [block("::/0")])).toEqual({ whole: 1, octets: [] });
  expect(spaceShares("IPv6", [block("2000::/3")]).whole).toBe(1 / 8);
});

test("the octets' shares add up to the whole", () => {
  const cidr = fc.tuple(fc.nat(0xffff_ffff), fc.integer({ min: 1, max: 32 })).map(([address, bits]) => {
    const host = BigInt(32 - bits);
    return { family: "IPv4" as const, base: (BigInt(address) >> host) << host, bits, text: "" };
  });
  fc.assert(
    fc.property(fc.array(cidr, { maxLength: 30 }), (cidrs) => {
      const intervals = longestPrefixIntervals(cidrs.map((cidr) => ({ cidr, included: true })));
      const { whole, octets } = spaceShares("IPv4", intervals);
      expect(octets.reduce((sum, share) => sum + share, 0) / 256).toBeCloseTo(whole, 12);
      expect(octets.every((share) => share >= 0 && share <= 1)).toBe(true);
    }),
  );
});

const RANGES: readonly (readonly [Family, Interval, string, string])[] = [
  ["IPv4", block("10.0.0.0/8"), "10.0.0.0/8", "private"],
  ["IPv4", block("10.1.0.0/16"), "10.1.0.0/16", "within private"],
  ["IPv4", block("8.8.8.0/24"), "8.8.8.0/24", ""],
  ["IPv4", block("0.0.0.0/0"), "0.0.0.0/0", "every IPv4 address"],
  ["IPv4", { first: 1n, last: 6n }, "0.0.0.1 to 0.0.0.6", "within this network"],
  ["IPv4", { first: 1n, last: 4n }, "0.0.0.1/32, 0.0.0.2/31, 0.0.0.4/32", "within this network"],
  ["IPv6", block("fe80::/10"), "fe80::/10", "link-local"],
  ["IPv6", block("2001:db8:17::/48"), "2001:db8:17::/48", "within documentation"],
  ["IPv6", block("::/0"), "::/0", "every IPv6 address"],
];

test("ranges as texts and by their names", () => {
  expect(
    RANGES.map(([family, interval]) => [intervalText(family, interval), intervalName(family, interval)]),
  ).toEqual(RANGES.map(([, , text, name]) => [text, name]));
});

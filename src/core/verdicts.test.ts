import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cidr, parseCidr } from "./cidr.ts";
import { longestPrefixIntervals } from "./intervals.ts";
import { COMMON_ZONES, changeVerdicts, countAddresses, findDangers, type VerdictChange } from "./verdicts.ts";

/** Prefixes in a space of 256 addresses. */
const prefixes = fc.array(
  fc.tuple(fc.nat(255), fc.integer({ min: 24, max: 32 }), fc.boolean()).map(([host, bits, included]) => ({
    cidr: parseCidr(`10.0.0.${(host >> (32 - bits)) << (32 - bits)}/${bits}`) as Cidr,
    included,
  })),
  { maxLength: 12 },
);

/** By looking at every address. */
function isKept(choices: readonly { cidr: Cidr; included: boolean }[], address: bigint): boolean {
  const containing = choices.filter(
    ({ cidr }) => address >> BigInt(32 - cidr.bits) === cidr.base >> BigInt(32 - cidr.bits),
  );
  const best = containing.reduce<(typeof choices)[number] | undefined>(
    (a, b) => (a !== undefined && a.cidr.bits >= b.cidr.bits ? a : b),
    undefined,
  );
  return best?.included ?? false;
}

test("the addresses that change their verdict are those that brute force finds, and as many", () => {
  const base = 10n << 24n;
  fc.assert(
    fc.property(prefixes, prefixes, (before, after) => {
      const change = changeVerdicts("IPv4", longestPrefixIntervals(before), longestPrefixIntervals(after));
      const expected = { kept: [] as bigint[], masqueraded: [] as bigint[] };
      for (let address = base; address < base + 256n; address++) {
        if (isKept(before, address) === isKept(after, address)) continue;
        expected[isKept(after, address) ? "kept" : "masqueraded"].push(address);
      }
      for (const kind of ["kept", "masqueraded"] as const) {
        expect(countAddresses(change[kind])).toBe(BigInt(expected[kind].length));
        const listed = change[kind].flatMap(({ first, last }) =>
          Array.from({ length: Number(last - first) + 1 }, (_, i) => first + BigInt(i)),
        );
        expect(listed).toEqual(expected[kind]);
      }
    }),
  );
});

function dangersOf(
  family: "IPv4" | "IPv6",
  kept: readonly string[],
  masqueraded: readonly string[] = [],
  percent = 1,
) {
  const intervals = (texts: readonly string[]) =>
    longestPrefixIntervals(texts.map((text) => ({ cidr: parseCidr(text) as Cidr, included: true })));
  const change: VerdictChange = { family, kept: intervals(kept), masqueraded: intervals(masqueraded) };
  return findDangers(change, COMMON_ZONES, percent).map(
    ({ change, what, addresses }) => `${change}: ${what}: ${addresses}`,
  );
}

test("what reaches into a zone, or is too large a share of all addresses, is dangerous", () => {
  expect(dangersOf("IPv4", ["10.0.0.0/8"])).toEqual([]);
  expect(dangersOf("IPv4", ["10.0.0.0/8"], [], 0.390_624)).toMatchInlineSnapshot(`
    [
      "kept: 0.39 % of all IPv4 addresses, more than 0.390624 %: 16777216",
    ]
  `);
  expect(dangersOf("IPv4", ["10.0.0.0/8"], [], 0.390_625)).toEqual([]);
  expect(dangersOf("IPv4", ["0.0.0.0/0"])).toMatchInlineSnapshot(`
    [
      "kept: the cloud's metadata service (169.254.169.254/32): 1",
      "kept: link-local addresses (169.254.0.0/16): 65536",
      "kept: every IPv4 address: 4294967296",
    ]
  `);
  expect(dangersOf("IPv4", [], ["169.254.169.0/24"])).toMatchInlineSnapshot(`
    [
      "masqueraded: the cloud's metadata service (169.254.169.254/32): 1",
      "masqueraded: link-local addresses (169.254.0.0/16): 256",
    ]
  `);
  expect(dangersOf("IPv6", ["::/0"])).toMatchInlineSnapshot(`
    [
      "kept: the cloud's metadata service (fd00:ec2::254/128): 1",
      "kept: link-local addresses (fe80::/10): 332306998946228968225951765070086144",
      "kept: every IPv6 address: 340282366920938463463374607431768211456",
    ]
  `);
});

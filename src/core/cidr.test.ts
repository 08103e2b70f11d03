import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ADDRESS_BITS,
  type Cidr,
  FAMILIES,
  type Family,
  formatAddress,
  formatCidr,
  isCidr,
  isPassedOn,
  lastAddress,
  parseAddress,
  parseCidr,
} from "./cidr.ts";

const parsed = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (!isCidr(cidr)) throw new Error(`${text} is not a valid CIDR: ${cidr.reason}`);
  return cidr;
};

describe("parseCidr", () => {
  test.each([
    ["10.0.0.0/8", "IPv4", "10.0.0.0/8"],
    ["0.0.0.0/0", "IPv4", "0.0.0.0/0"],
    ["255.255.255.255/32", "IPv4", "255.255.255.255/32"],
    ["10.0.0.0/08", "IPv4", "10.0.0.0/8"],
    ["10.0.0.0/000000000000000000008", "IPv4", "10.0.0.0/8"],
    ["::/0", "IPv6", "::/0"],
    ["fe80::/10", "IPv6", "fe80::/10"],
    ["FE80::/010", "IPv6", "fe80::/10"],
    ["2001:db8:0:0:0:0:0:1/128", "IPv6", "2001:db8::1/128"],
    ["1:2:3:4:5:6:7::/112", "IPv6", "1:2:3:4:5:6:7:0/112"],
    ["::2:3:4:5:6:7:8/128", "IPv6", "0:2:3:4:5:6:7:8/128"],
    ["0001::/16", "IPv6", "1::/16"],
    ["64:ff9b::192.0.2.1/128", "IPv6", "64:ff9b::c000:201/128"],
    ["::1.2.3.4/128", "IPv6", "::102:304/128"],
    ["::fffe:0:0/96", "IPv6", "::fffe:0:0/96"],
    ["::ffff:10.0.0.0/104", "IPv4", "10.0.0.0/8"],
    ["::ffff:a00:0/104", "IPv4", "10.0.0.0/8"],
    ["0:0:0:0:0:ffff:0.0.0.0/96", "IPv4", "0.0.0.0/0"],
    ["::FFFF:1.2.3.4/128", "IPv4", "1.2.3.4/32"],
  ])("takes %s as %s %s", (text, family, canonical) => {
    const cidr = parsed(text);
    expect([cidr.family, formatCidr(cidr), cidr.text]).toEqual([family, canonical, text]);
  });

  test.each([
    "",
    "/",
    "/8",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/129",
    "10.0.0.0/-1",
    "10.0.0.0/+8",
    "10.0.0.0/8 ",
    " 10.0.0.0/8",
    "10.0.0.0/8/8",
    "10.0.0.0/0x8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.0/99999999999999999999",
    "10.0.0/8",
    "10/8",
    "10.0.0.0.0/8",
    "10.0.0./8",
    ".10.0.0/8",
    "10..0.0/8",
    "256.0.0.0/8",
    "010.0.0.0/8",
    "10.00.0.0/8",
    "0x0a.0.0.0/8",
    "１0.0.0.0/8",
    "::/129",
    ":/0",
    ":::/0",
    "1::2::3/128",
    "1:2:3:4:5:6:7/128",
    "1:2:3:4:5:6:7:8:9/128",
    "1:2:3:4:5:6:7:8::/128",
    "::1:2:3:4:5:6:7:8/128",
    ":1:2:3:4:5:6:7:8/128",
    "1:2:3:4:5:6:7:/112",
    "12345::/16",
    "g::/16",
    "fe80::1%eth0/64",
    "::%1/128",
    "1.2.3.4::/128",
    "::1.2.3/128",
    "::1.2.3.04/128",
    "::1.2.3.4:5/128",
    "1:2:3:4:5:6:7:1.2.3.4/128",
    "[::1]/128",
  ])("refuses %j", (text) => {
    expect(parseCidr(text)).toEqual({ reason: "syntax" });
  });

  test.each([
    ["10.0.0.1/8", "10.0.0.1", "10.0.0.0/8"],
    ["255.255.255.255/0", "255.255.255.255", "0.0.0.0/0"],
    ["fe80::1/10", "fe80::1", "fe80::/10"],
    ["::ffff:10.1.0.0/104", "10.1.0.0", "10.0.0.0/8"],
    ["::ffff:10.0.0.0/95", "10.0.0.0", "::fffe:0:0/95"],
    ["::ffff:0.0.0.0/0", "0.0.0.0", "::/0"],
  ])("says in which block the address of %s lies", (text, address, network) => {
    expect(parseCidr(text)).toEqual({ reason: "unaligned", address, network });
  });
});

test.each([
  ["10.0.0.0/8", false],
  ["10.0.0.0/08", true],
  ["0.0.0.0/0", false],
  ["0.0.0.0/00", true],
  ["10.0.0.0/10", false],
  ["::ffff:10.0.0.0/104", true],
  ["::fffe:0:0/96", false],
  ["fe80::/010", true],
])("isPassedOn(%s) is %s", (text, expected) => {
  expect(isPassedOn(parsed(text))).toBe(expected);
});

test.each([
  ["10.0.0.0/8", "10.255.255.255"],
  ["10.0.0.1/32", "10.0.0.1"],
  ["0.0.0.0/0", "255.255.255.255"],
  ["fe80::/10", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
])("the last address of %s is %s", (text, last) => {
  const cidr = parsed(text);
  expect(formatAddress(cidr.family, lastAddress(cidr))).toBe(last);
});

test.each([
  ["::", "::"],
  ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ["1:0:0:2:3:0:0:4", "1::2:3:0:0:4"],
  ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["1:0:0:0:0:0:0:0", "1::"],
  ["2001:DB8::A", "2001:db8::a"],
])("%s is printed as %s (RFC 5952)", (text, printed) => {
  expect(formatAddress("IPv6", parseAddress(text)?.value ?? -1n)).toBe(printed);
});

const arbitraryCidr = (family: Family) =>
  fc
    .record({
      bits: fc.nat({ max: ADDRESS_BITS[family] }),
      address: fc.bigInt({ min: 0n, max: (1n << BigInt(ADDRESS_BITS[family])) - 1n }),
    })
    .map(({ bits, address }) => {
      const hostBits = BigInt(ADDRESS_BITS[family] - bits);
      return { family, bits, base: (address >> hostBits) << hostBits };
    });

describe.each(FAMILIES)("any %s CIDR", (family) => {
  test("survives being written and read", () => {
    fc.assert(
      fc.property(arbitraryCidr(family), (cidr) => {
        // An IPv6 block inside ::ffff:0:0/96 is an IPv4 one to Go.
        fc.pre(family === "IPv4" || cidr.base >> 32n !== 0xffffn);
        const text = formatCidr(cidr);
        expect(parseCidr(text)).toEqual({ ...cidr, text });
      }),
    );
  });

  test("is refused with the right block as soon as it has a host bit", () => {
    fc.assert(
      fc.property(arbitraryCidr(family), (cidr) => {
        fc.pre(cidr.bits < ADDRESS_BITS[family] && cidr.base >> 32n !== 0xffffn);
        const address = formatAddress(family, cidr.base | 1n);
        const failure = { reason: "unaligned", address, network: formatCidr(cidr) };
        fc.pre(!address.startsWith("::ffff:"));
        expect(parseCidr(`${address}/${cidr.bits}`)).toEqual(failure);
      }),
    );
  });
});

test("IPv6 text of every length is read as a browser reads it", () => {
  const group = fc.nat({ max: 0xffff }).map((value) => value.toString(16));
  const text = fc.tuple(fc.array(group, { maxLength: 8 }), fc.array(group, { maxLength: 8 }), fc.boolean());
  fc.assert(
    fc.property(text, ([head, tail, gap]) => {
      const address = gap ? `${head.join(":")}::${tail.join(":")}` : [...head, ...tail].join(":");
      fc.pre(address.includes(":"));
      const read = parseAddress(address);
      const browser = URL.canParse(`http://[${address}]`)
        ? new URL(`http://[${address}]`).hostname
        : undefined;
      expect(read === undefined ? undefined : `[${formatAddress("IPv6", wholeValue(read))}]`).toBe(browser);
    }),
  );
});

function wholeValue({ family, value }: { family: Family; value: bigint }): bigint {
  return family === "IPv4" ? (0xffffn << 32n) | value : value;
}

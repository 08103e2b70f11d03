import { expect, test } from "vitest";
import { formatAddress, parseAddress } from "../core/cidr.ts";
import { listedAddresses } from "./node-addresses.ts";

const SCOPES = { global: 0, site: 200, link: 253, host: 254 } as const;

/** An address in the state of `ifa_flags`, on the link with the index 2. */
function at(text: string, flags = 0, scope: keyof typeof SCOPES = "global") {
  const { family, value } = parseAddress(text) ?? { family: "IPv4", value: 0n };
  return {
    family: family === "IPv4" ? "ip" : "ip6",
    address: value,
    link: 2,
    scope: SCOPES[scope],
    flags,
  } as const;
}

test.each([
  ["the first of a network", at("192.0.2.1", 0x80), true],
  ["the second of a network, whose bit means temporary for IPv6", at("192.0.2.2", 0x81), true],
  ["IPv4 with every flag", at("192.0.2.3", 0xfff), true],
  ["IPv4 for its link only", at("192.0.2.4", 0x80, "link"), false],
  ["loopback", at("127.0.0.1", 0x80, "host"), false],
  ["IPv6", at("2001:db8::1", 0x80), true],
  ["IPv6 that needs no prefix route and was not checked", at("2001:db8::1", 0x282), true],
  ["ULA", at("fd00::1"), true],
  ["temporary", at("2001:db8::1", 0x01), false],
  ["temporary and deprecated", at("2001:db8::1", 0x21), false],
  ["duplicate", at("2001:db8::1", 0x08), false],
  ["deprecated", at("2001:db8::1", 0xa0), false],
  ["tentative", at("2001:db8::1", 0xc0), false],
  ["optimistic, which may be used", at("2001:db8::1", 0x04), true],
  ["IPv6's link-local", at("fe80::1", 0x80, "link"), false],
])("whether packets may leave with it: %s", (_what, observed, isUsable) => {
  const family = observed.family === "ip" ? "IPv4" : "IPv6";
  const { all, usable } = listedAddresses([observed], true);
  expect([...usable[family].keys()]).toEqual(isUsable ? [observed.address] : []);
  // In whatever state, it is the node's.
  expect([...all[family]].map((one) => formatAddress(family, one))).toHaveLength(1);
});

test("an address on two links is one", () => {
  const { usable } = listedAddresses([at("192.0.2.1"), { ...at("192.0.2.1"), link: 3 }], true);
  expect([...usable.IPv4.keys()]).toHaveLength(1);
  expect([...usable.IPv6]).toEqual([]);
});

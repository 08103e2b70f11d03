import { expect, test } from "vitest";
import { inspectConfig } from "../core/config.ts";
import { passedOnWarnings } from "./passed-on.ts";

const warnings = (cidr: string, options: { setsAbove?: number } = {}) => {
  const bytes = new TextEncoder().encode(JSON.stringify({ nonMasqueradeCIDRs: [cidr] }));
  const text = { kind: "file", files: [{ path: "f", bytes }] } as const;
  const inspected = inspectConfig(text, { noMasqAllReservedRanges: false, enableIPv6: true, ...options });
  return passedOnWarnings(inspected).map(({ line, key, message }) => `${line} ${key}: ${message}`);
};

test.each([
  [
    "::ffff:10.0.0.0/104",
    "1 nonMasqueradeCIDRs[0]: Go reads ::ffff:10.0.0.0/104 as the IPv4 network 10.0.0.0/8, but iptables refuses it, and with it all rules of IPv4; write 10.0.0.0/8",
  ],
  [
    "::ffff:a00:0/104",
    "1 nonMasqueradeCIDRs[0]: Go reads ::ffff:a00:0/104 as the IPv4 network 10.0.0.0/8, but iptables refuses it, and with it all rules of IPv4; write 10.0.0.0/8",
  ],
  [
    "10.0.0.0/08",
    "1 nonMasqueradeCIDRs[0]: Go reads 10.0.0.0/08 as 10.0.0.0/8, but iptables refuses it, and with it all rules of IPv4; write 10.0.0.0/8",
  ],
  [
    "10.0.0.0/016",
    "1 nonMasqueradeCIDRs[0]: Go reads 10.0.0.0/016 as /16, but iptables as /14, since a number with a zero in front is octal; write 10.0.0.0/16",
  ],
  [
    "fd00::/010",
    "1 nonMasqueradeCIDRs[0]: Go reads fd00::/010 as /10, but iptables as /8, since a number with a zero in front is octal; write fd00::/10",
  ],
  ["8.0.0.0/07", undefined],
  ["10.0.0.0/8", undefined],
  ["fd00::/8", undefined],
])("%s", (cidr, expected) => {
  expect(warnings(cidr)).toEqual(expected === undefined ? [] : [expected]);
  // In a set our own reading counts, and the entry is an error already.
  expect(warnings(cidr, { setsAbove: 0 })).toEqual([]);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cidr, formatCidr, parseCidr } from "../core/cidr.ts";
import { inspectConfig } from "../core/config.ts";
import type { Entry } from "../core/ruleset.ts";
import { findOverlaps, overlapWarnings } from "./overlaps.ts";

const OPTIONS = {
  masqChain: "M",
  toPorts: [],
  randomFully: true,
  enableIPv6: true,
  noMasqAllReservedRanges: false,
};

function warnings(text: string): string[] {
  const file = { path: "f", bytes: new TextEncoder().encode(text) };
  const inspected = inspectConfig({ kind: "file", files: [file] }, OPTIONS);
  return overlapWarnings(inspected, OPTIONS).map(({ key, line, message }) => `${line} ${key}: ${message}`);
}

describe("warnings", () => {
  test.each<[string, string]>([
    ["nothing to say", "nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8, fd00::/8]"],
    ["inside, in any order", "nonMasqueradeCIDRs: [10.1.0.0/16, 10.0.0.0/8, 'fd00:1::/32', 'fd00::/8']"],
    ["twice", "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 11.0.0.0/8\n- 10.0.0.0/8\n- 10.0.0.0/08"],
    ["inside link-local", "nonMasqueradeCIDRs: [169.254.169.0/24, 'fe80::/64']"],
    ["link-local itself", "nonMasqueradeCIDRs: [169.254.0.0/16]"],
    ["not inside link-local", "masqLinkLocal: true\nnonMasqueradeCIDRs: [169.254.169.0/24]"],
    ["the same entry in both lists", "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.0.0.0/8]"],
    ["an exception from a default", "masqueradeCIDRs: [10.2.0.0/16, 8.8.8.0/24]"],
    ["an exception from link-local", "masqueradeCIDRs: [169.254.169.0/24]"],
    [
      "inside an exception",
      "nonMasqueradeCIDRs: [10.0.0.0/8, 10.2.3.0/24]\nmasqueradeCIDRs: [10.2.0.0/16, 10.2.4.0/24]",
    ],
    ["an address inside a block", "outputAddresses: [192.0.2.1, 192.0.2.0/24, 198.51.100.1, 198.51.100.1]"],
    ["a source inside another", "masqueradeSourceCIDRs: [10.0.0.0/8, 10.1.0.0/16, 'fd00::/8']"],
    [
      "a source that is left out anyway",
      "masqueradeSourceCIDRs: [10.0.0.0/8]\nnonMasqueradeSourceCIDRs: [11.0.0.0/8]",
    ],
    [
      "sources one inside the other, all needed",
      "masqueradeSourceCIDRs: [10.0.0.0/8, 10.1.2.0/24]\nnonMasqueradeSourceCIDRs: [10.1.0.0/16, 'fd00::/8']",
    ],
    [
      "sources and destinations are no twins",
      "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeSourceCIDRs: [10.0.0.0/8]",
    ],
  ])("%s", (name, text) => {
    expect({ [name]: warnings(text) }).toMatchSnapshot();
  });
});

/** Prefixes of up to 5 bits, so that 32 addresses stand for all. */
const entry: fc.Arbitrary<Entry> = fc
  .record({ bits: fc.nat(5), block: fc.nat(31), kept: fc.boolean() })
  .map(({ bits, block, kept }) => {
    const base = BigInt(block >> (5 - bits)) << BigInt(32 - bits);
    const cidr = parseCidr(formatCidr({ family: "IPv4", base, bits })) as Cidr;
    return { cidr, verdict: kept ? "return" : "masquerade", reason: "configured" };
  });

/** The same prefix with two verdicts is no configuration. */
const entries = fc.array(entry, { maxLength: 12 }).map((all) =>
  all.map((one) => {
    const first = all.find(({ cidr }) => cidr.text === one.cidr.text) ?? one;
    return { ...one, verdict: first.verdict };
  }),
);

/** Every address' verdict by the longest prefix, of equal ones the first. */
function verdicts(entries: readonly Entry[]): string[] {
  return Array.from({ length: 32 }, (_, block) => {
    const address = BigInt(block) << 27n;
    const matching = entries.filter(
      ({ cidr }) => address >> BigInt(32 - cidr.bits) === cidr.base >> BigInt(32 - cidr.bits),
    );
    return matching.sort((a, b) => b.cidr.bits - a.cidr.bits)[0]?.verdict ?? "masquerade";
  });
}

test("without the entries that change nothing, every address has the same verdict", () => {
  fc.assert(
    fc.property(entries, (entries) => {
      const useless = new Set(findOverlaps(entries).map((overlap) => overlap.entry));
      expect(verdicts(entries.filter((one) => !useless.has(one)))).toEqual(verdicts(entries));
    }),
  );
});

test("each of them alone could go, and what is wider really is", () => {
  fc.assert(
    fc.property(entries, (entries) => {
      for (const { entry, by } of findOverlaps(entries)) {
        expect(verdicts(entries.filter((one) => one !== entry))).toEqual(verdicts(entries));
        if (by !== undefined) expect(by.cidr.bits).toBeLessThanOrEqual(entry.cidr.bits);
      }
    }),
  );
});

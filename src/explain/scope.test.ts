import fc from "fast-check";
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { FAMILIES, formatCidr, lastAddress, parseAddress } from "../core/cidr.ts";
import type { Scope, SourceEntry } from "../core/ruleset.ts";
import { isOurs } from "../core/sources.ts";
import { answerParts } from "./answer.ts";
import { answerScope } from "./scope.ts";

/** Entries over the last 32 addresses of IPv4. */
const ORIGIN = (1n << 32n) - 32n;
const entry = fc
  .record({ hostBits: fc.nat(5), at: fc.nat(31), isOurs: fc.boolean() })
  .map(({ hostBits, at, isOurs }): SourceEntry => {
    const base = ORIGIN + ((BigInt(at) >> BigInt(hostBits)) << BigInt(hostBits));
    const block = { family: "IPv4" as const, base, bits: 32 - hostBits };
    return { cidr: { ...block, text: formatCidr(block) }, isOurs };
  });
const scopes = fc.record<Scope>({
  sources: fc.array(entry, { maxLength: 6 }),
  interfaces: fc.subarray(["eth0", "bond+", "lo"]),
});
const links = fc.constantFrom("eth0", "eth1", "bond1", undefined);

test("an answer about a packet is what the packet's source and link say", () => {
  fc.assert(
    fc.property(scopes, fc.nat(32), links, (scope, at, out) => {
      const source = ORIGIN + BigInt(at) - 1n;
      const answer = answerScope("IPv4", scope, { source, out });
      expect(answer.isOurs).toBe(isOurs(scope, source, out));
      if (!("by" in answer.sources)) return;
      const around = scope.sources.filter(({ cidr }) => cidr.base <= source && source <= lastAddress(cidr));
      const { by, lost } = answer.sources;
      expect([...(by === undefined ? [] : [by]), ...lost]).toHaveLength(around.length);
      for (const one of lost) expect(one.cidr.bits).toBeLessThanOrEqual(by?.cidr.bits ?? -1);
    }),
    { numRuns: 2_000 },
  );
});

test("an answer about any source holds for each", () => {
  fc.assert(
    fc.property(scopes, links, (scope, out) => {
      const { isOurs: any } = answerScope("IPv4", scope, { out });
      const each = Array.from({ length: 33 }, (_, i) => isOurs(scope, ORIGIN + BigInt(i) - 1n, out));
      if (any !== undefined) expect(new Set(each)).toEqual(new Set([any]));
    }),
    { numRuns: 2_000 },
  );
});

test("destinations that keep the pod's address do so whatever the source is", () => {
  for (const family of FAMILIES) {
    const text = "masqueradeSourceCIDRs: [10.244.0.0/16]\nnonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']";
    const ruleset = rulesetOf(family, text, { enableIPv6: true });
    const value = parseAddress(family === "IPv4" ? "10.1.2.3" : "fd00::1")?.value as bigint;
    const interval = { first: value, last: value };
    const [part] = answerParts({ family, interval, ruleset, hasConfig: true }) ?? [];
    expect(part?.config).toMatchObject({ verdict: "keep" });
    expect(part?.config).not.toHaveProperty("scope");
  }
});

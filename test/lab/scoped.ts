/** Shorthand for rulesets with a scope and a pool, without a configuration file. */
import fc from "fast-check";
import { type Cidr, type Family, formatCidr, isCidr, parseAddress, parseCidr } from "../../src/core/cidr.ts";
import type { PortRange } from "../../src/core/ports.ts";
import type { AddressPool, Ruleset } from "../../src/core/ruleset.ts";
import { rulesetOf } from "./config.ts";

/** Texts as in a file; what is absent is as if the key were not there. */
export interface ScopedTexts {
  readonly kept?: readonly string[];
  readonly exceptions?: readonly string[];
  readonly ours?: readonly string[];
  readonly others?: readonly string[];
  readonly interfaces?: readonly string[];
  /** The node's own addresses. */
  readonly pool?: readonly string[];
  readonly by?: AddressPool["by"];
  readonly toPorts?: readonly PortRange[];
}

/** The ruleset of a family. */
export function scopedRuleset(family: Family, texts: ScopedTexts): Ruleset {
  const {
    kept = [],
    exceptions = [],
    ours = [],
    others = [],
    interfaces = [],
    pool = [],
    by = "pod",
  } = texts;
  const lists = JSON.stringify({ nonMasqueradeCIDRs: kept, masqueradeCIDRs: exceptions });
  const options = { enableIPv6: true, toPorts: texts.toPorts ?? [] };
  const ruleset = rulesetOf(family, lists, options);
  const sources = [
    ...ours.map((text) => ({ cidr: cidrOf(text), isOurs: true })),
    ...others.map((text) => ({ cidr: cidrOf(text), isOurs: false })),
  ];
  const addresses = pool.map((text) => parseAddress(text)?.value ?? 0n);
  return {
    ...ruleset,
    ...(sources.length + interfaces.length === 0 ? {} : { scope: { sources, interfaces } }),
    masquerade: { ...ruleset.masquerade, ...(addresses.length === 0 ? {} : { pool: { addresses, by } }) },
  };
}

function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!isCidr(cidr)) throw new Error(`${text} is not a CIDR`);
  return cidr;
}

const WIDTH: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

/** CIDRs of a family that often nest, from everything to single addresses, between few first and few last bits. */
export function nearbyCidr(family: Family): fc.Arbitrary<string> {
  const width = WIDTH[family];
  const bits = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: width - 4, max: width }));
  return fc.record({ bits, high: fc.nat(15), low: fc.nat(15) }).map(({ bits, high, low }) => {
    const hostBits = BigInt(width - bits);
    const base = (((BigInt(high) << BigInt(width - 4)) | BigInt(low)) >> hostBits) << hostBits;
    return formatCidr({ family, base, bits });
  });
}

/** The addresses that such CIDRs tell apart. */
export function nearbyAddresses(family: Family): readonly bigint[] {
  const shift = BigInt(WIDTH[family] - 4);
  const numbers = Array.from({ length: 16 }, (_, i) => BigInt(i));
  return [0n, 1n, 6n, 15n].flatMap((high) => numbers.map((low) => (high << shift) | low));
}

const LINKS = ["eth0", "eth1", "bond0", "pod0"] as const;
const POOLS: Readonly<Record<Family, readonly string[]>> = {
  IPv4: Array.from({ length: 16 }, (_, i) => `192.0.2.${i + 1}`),
  IPv6: Array.from({ length: 16 }, (_, i) => `2001:db8::${(i + 1).toString(16)}`),
};
/** The links of flows. */
export const FLOW_LINKS: readonly string[] = LINKS;

/** Any scope and pool; the same prefix is never in both lists. */
export function scopedTexts(family: Family): fc.Arbitrary<ScopedTexts> {
  const split = (most: number) =>
    fc
      .uniqueArray(nearbyCidr(family), { maxLength: most })
      .chain((all) => fc.tuple(fc.constant(all), fc.subarray(all)));
  const range = fc.constantFrom({ first: 1_024n, last: 2_047n }, { first: 4_000n, last: 4_000n });
  return fc
    .record({
      sources: split(6),
      destinations: split(6),
      interfaces: fc.subarray([...LINKS, "bond+"], { maxLength: 2 }),
      pool: fc
        .nat(16)
        .map((count) => POOLS[family].slice(0, count < 8 ? 0 : 2 ** (count - 8) > 16 ? 3 : count - 7)),
      by: fc.constantFrom("pod" as const, "flow" as const),
      toPorts: fc.array(range, { maxLength: 1 }),
    })
    .map(({ sources: [sources, ours], destinations: [kept, exceptions], ...rest }) => ({
      ...rest,
      ours,
      others: sources.filter((one) => !ours.includes(one)),
      kept: kept.filter((one) => !exceptions.includes(one)),
      exceptions,
    }));
}

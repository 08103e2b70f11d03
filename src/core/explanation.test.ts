import fc from "fast-check";
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { type Cidr, formatAddress, lastAddress, parseCidr } from "./cidr.ts";
import { explainInterval, whyLost } from "./explanation.ts";
import { decompose } from "./intervals.ts";
import type { Ruleset } from "./ruleset.ts";

const ALL = { first: 0n, last: (1n << 32n) - 1n };

function block(text: string) {
  const cidr = parseCidr(text) as Cidr;
  return { first: cidr.base, last: lastAddress(cidr) };
}

/** One line for each part, as an operator would want it. */
function answers(config: object, destination: string): string[] {
  const ruleset = rulesetOf("IPv4", JSON.stringify(config));
  const weighed = ruleset.entries.some(({ verdict }) => verdict === "masquerade");
  return explainInterval(ruleset, block(destination)).map(({ interval, verdict, by, lost }) => {
    const where = decompose("IPv4", interval)
      .map(({ text }) => text)
      .join(" ");
    const others = lost.map(
      (entry) => `${entry.cidr.text}: ${by === undefined ? "?" : whyLost(by, entry, weighed)}`,
    );
    return [`${where} ${verdict} by ${by?.cidr.text ?? "none"}`, ...others].join("; ");
  });
}

test("the first entry decides where there are no exceptions, and the others say why they lost", () => {
  const config = { nonMasqueradeCIDRs: ["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/1"] };
  expect(answers(config, "10.1.2.3/32")).toMatchInlineSnapshot(`
    [
      "10.1.2.3/32 return by 10.0.0.0/8; 10.1.0.0/16: it is further down, and the first entry decides; 10.0.0.0/8: it is further down, and the first entry decides; 0.0.0.0/1: it is further down, and the first entry decides",
    ]
  `);
  expect(answers(config, "169.254.0.0/15")).toMatchInlineSnapshot(`
    [
      "169.254.0.0/16 return by 169.254.0.0/16",
      "169.255.0.0/16 masquerade by none",
    ]
  `);
});

test("with exceptions the longest prefix decides", () => {
  const config = { nonMasqueradeCIDRs: ["10.0.0.0/8", "10.1.2.0/24"], masqueradeCIDRs: ["10.1.0.0/16"] };
  expect(answers(config, "10.0.0.0/7")).toMatchInlineSnapshot(`
    [
      "10.0.0.0/16 return by 10.0.0.0/8",
      "10.1.0.0/23 masquerade by 10.1.0.0/16; 10.0.0.0/8: its prefix is shorter, and with masqueradeCIDRs the longest decides",
      "10.1.2.0/24 return by 10.1.2.0/24; 10.1.0.0/16: its prefix is shorter, and with masqueradeCIDRs the longest decides; 10.0.0.0/8: its prefix is shorter, and with masqueradeCIDRs the longest decides",
      "10.1.3.0/24 10.1.4.0/22 10.1.8.0/21 10.1.16.0/20 10.1.32.0/19 10.1.64.0/18 10.1.128.0/17 masquerade by 10.1.0.0/16; 10.0.0.0/8: its prefix is shorter, and with masqueradeCIDRs the longest decides",
      "10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 10.16.0.0/12 10.32.0.0/11 10.64.0.0/10 10.128.0.0/9 return by 10.0.0.0/8",
      "11.0.0.0/8 masquerade by none",
    ]
  `);
});

test("link-local is an entry of its own, which an explicit one of the same prefix replaces", () => {
  expect(answers({ nonMasqueradeCIDRs: [] }, "169.254.169.254/32")).toMatchInlineSnapshot(`
    [
      "169.254.169.254/32 return by 169.254.0.0/16",
    ]
  `);
  expect(answers({ masqueradeCIDRs: ["169.254.0.0/16"] }, "169.254.169.254/32")).toMatchInlineSnapshot(`
    [
      "169.254.169.254/32 masquerade by 169.254.0.0/16",
    ]
  `);
});

const cidrs = fc
  .tuple(fc.nat(15), fc.integer({ min: 26, max: 32 }))
  .map(([host, bits]) => `10.0.0.${((host * 16) >> (32 - bits)) << (32 - bits)}/${bits}`);
const configs = fc
  .tuple(fc.array(cidrs, { maxLength: 8 }), fc.array(cidrs, { maxLength: 8 }))
  .map(([kept, exceptions]) => ({
    nonMasqueradeCIDRs: kept,
    masqueradeCIDRs: exceptions.filter((cidr) => !kept.includes(cidr)),
  }));

/** What the chain does, by trying each rule in its order for one address. */
function firstMatch({ entries }: Ruleset, address: bigint) {
  return entries.find(({ cidr }) => cidr.base <= address && address <= lastAddress(cidr));
}

test("agrees with the ruleset tried entry by entry, for every address", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const ruleset = rulesetOf("IPv4", JSON.stringify(config));
      const around = block("10.0.0.0/23");
      const parts = explainInterval(ruleset, around);
      let next = around.first;
      for (const { interval, by, verdict, lost } of parts) {
        expect(interval.first).toBe(next);
        next = interval.last + 1n;
        const seen = new Set<unknown>();
        for (let address = interval.first; address <= interval.last; address++) {
          const decisive = firstMatch(ruleset, address);
          expect(by, formatAddress("IPv4", address)).toBe(decisive);
          expect(verdict).toBe(decisive?.verdict ?? "masquerade");
          for (const entry of ruleset.entries)
            if (entry.cidr.base <= address && address <= lastAddress(entry.cidr) && entry !== by)
              seen.add(entry);
        }
        expect(new Set(lost)).toEqual(seen);
      }
      expect(next).toBe(around.last + 1n);
    }),
  );
});

/** The entries, and how often a prefix of theirs has been read. */
function counted({ entries }: Ruleset) {
  const reads = { count: 0 };
  const counting = <T extends object>(value: T): T =>
    new Proxy(value, {
      get(target, key) {
        reads.count++;
        return Reflect.get(target, key);
      },
    });
  return { reads, entries: entries.map((entry) => ({ ...entry, cidr: counting(entry.cidr) })) };
}

test("a list of the same and of nested prefixes takes work in proportion to its length", () => {
  const work = [500, 1_000, 2_000].map((length) => {
    const many = Array.from({ length }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const nonMasqueradeCIDRs = [...many, ...many, ...Array(length / 20).fill("10.0.0.0/8")];
    const config = JSON.stringify({ cidrLimit: 100_000, nonMasqueradeCIDRs });
    const { entries, reads } = counted(rulesetOf("IPv4", config));
    expect(explainInterval({ entries }, ALL).length).toBeGreaterThan(length);
    return reads.count / length;
  });
  expect(Math.max(...work)).toBeLessThan(1.5 * Math.min(...work));
});

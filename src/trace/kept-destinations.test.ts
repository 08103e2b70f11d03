import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cidr, lastAddress, parseCidr } from "../core/cidr.ts";
import { everything, includes } from "../core/intervals.ts";
import { tokenize } from "../iptables/rule.ts";
import { readRule } from "./iptables-rule.ts";
import { keptByRules } from "./kept-destinations.ts";
import type { TraceRule } from "./model.ts";

function rules(texts: readonly string[], sets: Parameters<typeof readRule>[2] = new Map()): TraceRule[] {
  return texts.map((text, i) => ({
    number: i + 1,
    text,
    ...readRule(tokenize(text), "IPv4", sets, () => false),
  }));
}

function block(text: string) {
  const cidr = parseCidr(text) as Cidr;
  return { first: cidr.base, last: lastAddress(cidr) };
}

const ruleTexts = fc.array(
  fc
    .tuple(
      fc.nat(255),
      fc.integer({ min: 24, max: 32 }),
      fc.constantFrom("RETURN", "MASQUERADE", "ACCEPT"),
      fc.constantFrom("", "! "),
    )
    .map(
      ([host, bits, target, not]) =>
        `${not}-d 10.0.0.${(host >> (32 - bits)) << (32 - bits)}/${bits} -j ${target}`,
    ),
  { maxLength: 10 },
);

test("the addresses that rules let pass are those that brute force lets pass", () => {
  fc.assert(
    fc.property(ruleTexts, fc.boolean(), (texts, hasEnd) => {
      const all = hasEnd ? [...texts, "-j MASQUERADE"] : texts;
      const kept = keptByRules(rules(all), "IPv4") ?? [];
      for (
        let address = block("10.0.0.0/24").first - 2n;
        address <= block("10.0.0.0/24").last + 2n;
        address++
      ) {
        const decisive = all.find((text) => {
          const cidr = /-d (\S+)/.exec(text)?.[1];
          const isIn = cidr === undefined || (block(cidr).first <= address && address <= block(cidr).last);
          return isIn !== text.startsWith("!");
        });
        expect(includes(kept, address), `${address}`).toBe(decisive?.endsWith("MASQUERADE") !== true);
      }
      // Sorted, disjoint, and neighbours are one.
      for (const [i, { first }] of kept.entries())
        expect(first).toBeGreaterThan((kept[i - 1]?.last ?? -2n) + 1n);
    }),
  );
});

test("a set, rules for ports, and what is not known", () => {
  const sets = new Map([
    [
      "keep",
      { family: "IPv4", places: [[block("10.0.0.0/8"), block("172.16.0.0/12")]], elements: [] } as const,
    ],
  ]);
  const ours = [
    "-m set --match-set keep dst -j RETURN",
    "-p tcp -m statistic --probability 0.5 -j MASQUERADE --to-ports 1-9",
    "-j MASQUERADE",
  ];
  expect(keptByRules(rules(ours, sets), "IPv4")).toEqual([block("10.0.0.0/8"), block("172.16.0.0/12")]);
  expect(keptByRules(rules(ours), "IPv4")).toBeUndefined();
  expect(keptByRules(rules(["-s 10.0.0.1 -j RETURN", "-j MASQUERADE"]), "IPv4")).toBeUndefined();
  expect(keptByRules([], "IPv4")).toEqual([everything("IPv4")]);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { times } from "../../test/lab/length.ts";
import { scopedRuleset, scopedTexts } from "../../test/lab/scoped.ts";
import { FAMILIES, formatAddress } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { sourceIntervals } from "../core/sources.ts";
import { chainRules } from "../iptables/chain-rules.ts";
import { layoutOf } from "../iptables/layout.ts";
import { canonicalRule, tokenize } from "../iptables/rule.ts";
import { keptIntervals } from "../nftables/sets.ts";
import { readRule } from "./iptables-rule.ts";
import { keptByRules } from "./kept-destinations.ts";

const SCOPE =
  "masqueradeSourceCIDRs: [10.244.0.0/16]\nnonMasqueradeSourceCIDRs: [10.244.128.0/20]\noutputInterfaces: [eth0, bond+]\n";

/** What keeps the pod's address for packets that are ours, by rules of iptables. */
function kept(rules: readonly string[], config = SCOPE): string | undefined {
  const { family, scope }: Ruleset = rulesetOf("IPv4", config);
  const ours = { sources: sourceIntervals(family, scope), interfaces: scope?.interfaces ?? [] };
  const read = rules.map((text, i) => ({
    number: i + 1,
    text,
    ...readRule(text.split(" "), family, new Map(), () => false),
  }));
  return keptByRules(read, family, ours)
    ?.map(({ first, last }) => `${formatAddress(family, first)}-${formatAddress(family, last)}`)
    .join();
}

const KEEP = "-d 10.0.0.0/8 -j RETURN";
const EXCEPT = "-s 10.244.128.0/20 -j RETURN";
const [ETH, BOND] = ["eth0", "bond+"].map((name) => `-s 10.244.0.0/16 -o ${name} -j MASQUERADE`) as [
  string,
  string,
];
const TEN = "10.0.0.0-10.255.255.255";
const ALL = "0.0.0.0-255.255.255.255";

test.each<[string, string[], string | undefined]>([
  ["rules as wanted", [KEEP, EXCEPT, ETH, BOND], TEN],
  ["wider rules", [KEEP, "-j MASQUERADE"], TEN],
  ["in another order", [EXCEPT, KEEP, BOND, ETH], TEN],
  ["halves of the sources", [KEEP, ETH.replace("/16", "/17"), ETH.replace("0.0/16", "128.0/17"), BOND], TEN],
  ["wider names", [KEEP, "-s 10.244.0.0/16 -o + -j MASQUERADE"], TEN],
  ["shares of the ports", [KEEP, `${ETH.replace("-j", "-p tcp -j")} --to-ports 1024-2000`, ETH, BOND], TEN],
  ["no rule for a link", [KEEP, ETH], undefined],
  ["half of the sources", [KEEP, ETH.replace("/16", "/17"), BOND], undefined],
  ["some of ours excepted", [KEEP, "-s 10.244.1.0/24 -j RETURN", ETH, BOND], undefined],
  ["a link excepted", [KEEP, "-o eth0 -j RETURN", ETH, BOND], undefined],
  ["a narrower name", [KEEP, ETH, BOND.replace("bond+", "bond0")], undefined],
  ["a rule about others", [KEEP, "-s 192.0.2.0/24 -j RETURN", "-o eth1 -j RETURN", ETH, BOND], TEN],
  ["none at all", [KEEP, EXCEPT], ALL],
  ["a destination between the parts", [ETH, KEEP, BOND], undefined],
  ["another condition on a RETURN", ["-p udp -j RETURN", ETH, BOND], undefined],
])("%s", (_name, rules, expected) => {
  expect(kept(rules)).toBe(expected);
});

test.each<[string, string[], string | undefined]>([
  [
    "by pod",
    [KEEP, "-s 0.0.0.0/0.0.0.1 -j SNAT --to-source 192.0.2.1", "-j SNAT --to-source 192.0.2.2"],
    TEN,
  ],
  [
    "by flow",
    [
      KEEP,
      "-m statistic --mode random --probability 0.5 -j SNAT --to-source 192.0.2.1",
      "-j SNAT --to-source 192.0.2.2",
    ],
    TEN,
  ],
  ["for one link only", [KEEP, "-o eth0 -j SNAT --to-source 192.0.2.2"], undefined],
])("several addresses, every packet ours: %s", (_name, rules, expected) => {
  expect(kept(rules, "outputAddresses: [192.0.2.0/24]")).toBe(expected);
});

test.each(FAMILIES)(
  "our own rules keep, for packets that are ours, what the configuration keeps: %s",
  (family) => {
    fc.assert(
      fc.property(scopedTexts(family), (texts) => {
        const ruleset = scopedRuleset(family, texts);
        const { scope, masquerade } = ruleset;
        const sources = sourceIntervals(family, scope);
        if ((scope === undefined && masquerade.pool === undefined) || sources?.length === 0) return;
        const rules = chainRules(ruleset, layoutOf(ruleset, []), true).map((rule, i) => {
          const text = canonicalRule(rule);
          return { number: i + 1, text, ...readRule(tokenize(text), family, new Map(), () => false) };
        });
        const ours = { sources, interfaces: scope?.interfaces ?? [] };
        const found = keptByRules(rules, family, ours);
        expect({ texts, found }).toEqual({ texts, found: keptIntervals(ruleset) });
      }),
      { numRuns: times(60, 5_000) },
    );
  },
);

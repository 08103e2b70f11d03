import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { times } from "../../test/lab/length.ts";
import { scopedRuleset, scopedTexts } from "../../test/lab/scoped.ts";
import type { Family } from "../core/cidr.ts";
import { parsePorts } from "../core/ports.ts";
import type { Options, Ruleset } from "../core/ruleset.ts";
import { chainRules } from "./chain-rules.ts";
import { layoutOf } from "./layout.ts";
import { canonicalListing, canonicalRule, renderRule, tokenize } from "./rule.ts";

const ports = (text: string) => {
  const parsed = parsePorts(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.ranges;
};

const rulesOf = (ruleset: Ruleset, randomFully = true) =>
  chainRules(ruleset, layoutOf(ruleset, []), randomFully);

/** Texts of the rules without comments, which only hide the differences. */
function rules(family: "IPv4" | "IPv6", config: string, options: Partial<Options> = {}) {
  const all = { enableIPv6: true, ...options };
  const list = rulesOf(rulesetOf(family, config, all), all.randomFully);
  const bare = (line: string) => line.replace(/-m comment --comment "[^"]*" ?/, "");
  return {
    rendered: list.map((rule) => bare(renderRule("X", rule))),
    canonical: list.map((rule) => bare(canonicalRule(rule))),
  };
}

const ONLY = (cidr: string) =>
  `nonMasqueradeCIDRs: ["${cidr}"]\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true`;

test("the rules of the defaults, comments included", () => {
  const list = rulesOf(rulesetOf("IPv4", "")).map((rule) => renderRule("IP-MASQ-AGENT", rule));
  expect(list.join("\n")).toMatchInlineSnapshot(`
    "-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 169.254.0.0/16 -j RETURN
    -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/8 -j RETURN
    -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 172.16.0.0/12 -j RETURN
    -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 192.168.0.0/16 -j RETURN
    -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully"
  `);
});

test("an exception has a comment of its own", () => {
  const ruleset = rulesetOf("IPv4", "nonMasqueradeCIDRs: []\nmasqueradeCIDRs: [10.0.0.0/8]");
  const exception = rulesOf(ruleset).find(({ target }) => target === "MASQUERADE");
  expect(exception && renderRule("X", exception)).toMatchInlineSnapshot(
    `"-A X -m comment --comment "ip-masq-agent: destination is subject to MASQUERADE although a wider range is not" -d 10.0.0.0/8 -j MASQUERADE --random-fully"`,
  );
});

test("port ranges: one rule for each range and protocol, before the one for the rest", () => {
  const { rendered } = rules("IPv4", ONLY("10.0.0.0/8"), { toPorts: ports("1024-1999,5000,6000-65535") });
  expect(rendered.join("\n")).toMatchInlineSnapshot(`
    "-A X -d 10.0.0.0/8 -j RETURN
    -A X -p tcp -m statistic --mode random --probability 0.01612876588 -j MASQUERADE --to-ports 1024-1999 --random-fully
    -A X -p tcp -m statistic --mode random --probability 0.00001679640 -j MASQUERADE --to-ports 5000 --random-fully
    -A X -p tcp -j MASQUERADE --to-ports 6000-65535 --random-fully
    -A X -p udp -m statistic --mode random --probability 0.01612876588 -j MASQUERADE --to-ports 1024-1999 --random-fully
    -A X -p udp -m statistic --mode random --probability 0.00001679640 -j MASQUERADE --to-ports 5000 --random-fully
    -A X -p udp -j MASQUERADE --to-ports 6000-65535 --random-fully
    -A X -p sctp -m statistic --mode random --probability 0.01612876588 -j MASQUERADE --to-ports 1024-1999 --random-fully
    -A X -p sctp -m statistic --mode random --probability 0.00001679640 -j MASQUERADE --to-ports 5000 --random-fully
    -A X -p sctp -j MASQUERADE --to-ports 6000-65535 --random-fully
    -A X -j MASQUERADE --random-fully"
  `);
});

test.each<[string, Partial<Options>, string]>([
  ["as it is by default", {}, "-A X -j MASQUERADE --random-fully"],
  ["switched off", { randomFully: false }, "-A X -j MASQUERADE"],
  ["with one port", { toPorts: ports("7") }, "-A X -p sctp -j MASQUERADE --to-ports 7 --random-fully"],
])("--random-fully %s", (_name, options, line) => {
  expect(rules("IPv4", ONLY("10.0.0.0/8"), options).rendered).toContain(line);
});

describe("destinations go out as they were written and are expected as iptables reads them", () => {
  test.each([
    ["IPv4", "10.0.0.0/8", "-d 10.0.0.0/8"],
    ["IPv4", "10.0.0.1/32", "-d 10.0.0.1/32"],
    ["IPv4", "0.0.0.0/0", ""],
    ["IPv4", "0.0.0.0/00", ""],
    ["IPv4", "10.0.0.0/010", "-d 10.0.0.0/8"],
    ["IPv4", "10.128.0.0/011", "-d 10.128.0.0/9"],
    ["IPv4", "10.0.0.0/07", "-d 10.0.0.0/7"],
    ["IPv6", "FD00:0::/8", "-d fd00::/8"],
    ["IPv6", "::/0", ""],
    ["IPv6", "fd00::/010", "-d fd00::/8"],
    ["IPv6", "2001:db8::1.2.3.4/128", "-d 2001:db8::102:304/128"],
    ["IPv6", "::1.2.3.4/128", "-d ::102:304/128"],
  ] as const)("%s %s", (family, cidr, destination) => {
    const { rendered, canonical } = rules(family, ONLY(cidr));
    expect(rendered[0]).toBe(`-A X -d ${cidr} -j RETURN`);
    expect(canonical[0]).toBe([destination, "-j RETURN"].filter((part) => part !== "").join(" "));
  });

  test.each(["::ffff:10.0.0.0/104", "::ffff:10.0.0.0/105"])(
    "a rule that iptables rejects stays as it is: %s",
    (cidr) => {
      expect(rules("IPv4", ONLY(cidr)).canonical[0]).toBe(`-d ${cidr} -j RETURN`);
    },
  );
});

describe("canonicalListing", () => {
  const C = "-m comment --comment x";
  const Q = '-m comment --comment "x"';
  test.each([
    ["IPv4", `-d 10.0.0.0/8 ${C} -j RETURN`, `${Q} -d 10.0.0.0/8 -j RETURN`],
    ["IPv4", `-d 10.0.0.1 ${C} -j RETURN`, `${Q} -d 10.0.0.1/32 -j RETURN`],
    ["IPv6", `-d ::1.2.3.4/128 ${C} -j RETURN`, `${Q} -d ::102:304/128 -j RETURN`],
    ["IPv6", `-d 1:0:0:2::3/128 ${C} -j RETURN`, `${Q} -d 1:0:0:2::3/128 -j RETURN`],
    ["IPv6", `-d fe80:0:0:0::/10 ${C} -j RETURN`, `${Q} -d fe80::/10 -j RETURN`],
    ["IPv4", `-p 6 ${C} -j MASQUERADE --to-ports 5`, `${Q} -p tcp -j MASQUERADE --to-ports 5`],
    ["IPv4", `-p 132 ${C} -j MASQUERADE --to-ports 5-5`, `${Q} -p sctp -j MASQUERADE --to-ports 5`],
    ["IPv4", `${C} -j MASQUERADE --random-fully`, `${Q} -j MASQUERADE --random-fully`],
    // As iptables 1.8.9 lists them, both variants: the address's conditions first, and a mask that has no length as a mask.
    [
      "IPv4",
      `-s 10.244.0.0/255.255.0.1 -o bond+ ${C} -j RETURN`,
      `${Q} -s 10.244.0.0/255.255.0.1 -o bond+ -j RETURN`,
    ],
    ["IPv4", `-s 10.244.0.5 ${C} -j RETURN`, `${Q} -s 10.244.0.5/32 -j RETURN`],
    ["IPv4", `-s 10.0.0.0/255.0.0.0 ${C} -j RETURN`, `${Q} -s 10.0.0.0/8 -j RETURN`],
    ["IPv6", `-s ::1/::3 ${C} -j RETURN`, `${Q} -s ::1/::3 -j RETURN`],
    ["IPv6", `-s fd00:244::/ffff:ffff::1 ${C} -j RETURN`, `${Q} -s fd00:244::/ffff:ffff::1 -j RETURN`],
    ["IPv6", `-s ::1.2.3.4/ffff:: ${C} -j RETURN`, `${Q} -s ::102:304/16 -j RETURN`],
    ["IPv4", `-o eth0.100 -d 10.0.0.0/8 ${C} -j RETURN`, `${Q} -d 10.0.0.0/8 -o eth0.100 -j RETURN`],
    ["IPv4", `${C} -m set ! --match-set A src -j RETURN`, `${Q} -m set ! --match-set A src -j RETURN`],
    ["IPv4", `-m set ! --match-set A src ${C} -j RETURN`, `${Q} -m set ! --match-set A src -j RETURN`],
    [
      "IPv4",
      `-s 10.0.0.0/8 -p tcp ${C} -j SNAT --to-source 192.0.2.1:1-2 --random-fully`,
      `${Q} -s 10.0.0.0/8 -p tcp -j SNAT --to-source 192.0.2.1:1-2 --random-fully`,
    ],
    ["IPv4", `-p 17 ${C} -j SNAT --to-source 192.0.2.1:7-7`, `${Q} -p udp -j SNAT --to-source 192.0.2.1:7`],
    ["IPv6", `${C} -j SNAT --to-source 2001:db8::1`, `${Q} -j SNAT --to-source 2001:db8::1`],
    ["IPv6", `${C} -j SNAT --to-source [2001:db8:0::1]`, `${Q} -j SNAT --to-source 2001:db8::1`],
    [
      "IPv6",
      `-p tcp ${C} -j SNAT --to-source [2001:db8::1]:32768-65535 --random-fully`,
      `${Q} -p tcp -j SNAT --to-source [2001:db8::1]:32768-65535 --random-fully`,
    ],
    [
      "IPv4",
      `-p udp ${C} -m statistic --mode random --probability 0.333333 -j MASQUERADE --to-ports 1-2`,
      `${Q} -p udp -m statistic --mode random --probability 0.33333300008 -j MASQUERADE --to-ports 1-2`,
    ],
    [
      "IPv4",
      `-p udp ${C} -m statistic --mode random --probability 0.50000000000 -j MASQUERADE --to-ports 1-2 --random-fully`,
      `${Q} -p udp -m statistic --mode random --probability 0.50000000000 -j MASQUERADE --to-ports 1-2 --random-fully`,
    ],
  ] as const)("%s %s", (family, listed, canonical) => {
    expect(canonicalListing(family, listed)).toBe(canonical);
  });

  test.each([
    "-j RETURN",
    "-d 10.0.0.0/8",
    `! -d 10.0.0.0/8 ${C} -j RETURN`,
    `! -s 10.0.0.0/8 ${C} -j RETURN`,
    `-s 10.0.0.0/8 -s 11.0.0.0/8 ${C} -j RETURN`,
    `-s fd00::/8 ${C} -j RETURN`,
    `-i eth0 ${C} -j RETURN`,
    `! -o eth0 ${C} -j RETURN`,
    `-d fe80::/10 ${C} -j RETURN`,
    `-d ::ffff:10.0.0.0/104 ${C} -j ACCEPT`,
    `${C} -j ACCEPT`,
    `${C} -j SNAT`,
    `${C} -j SNAT --to-source 1.2.3.4-1.2.3.9`,
    `${C} -j SNAT --to-source fd00::1`,
    `${C} -j SNAT --to-source 1.2.3.4 --persistent`,
    `${C} -j SNAT --to-source 1.2.3.4 --to-source 1.2.3.5`,
    `${C} -j MASQUERADE --to-source 1.2.3.4`,
    `${C} -j RETURN --random-fully`,
    `${C} -m set --match-set A src -j RETURN`,
    `${C} -m set ! --match-set A dst -j RETURN`,
    `${C} -m set --match-set A dst,dst -j RETURN`,
    `${C} -m set --match-set A dst --return-nomatch -j RETURN`,
    `${C} -m set --match-set A dst -m set --match-set B dst -j RETURN`,
    `${C} -j MASQUERADE --to-ports 1:2`,
    `${C} -m mark --mark 0x1 -j RETURN`,
    `${C} -m statistic --mode nth --every 2 --packet 0 -j RETURN`,
    `${C} -g X`,
    "",
  ])("a foreign rule stays as it is: %s", (listed) => {
    expect(canonicalListing("IPv4", listed)).toBe(listed);
  });
});

test.each([
  ['-A X -m comment --comment "a b" -j Y', ["-A", "X", "-m", "comment", "--comment", "a b", "-j", "Y"]],
  ['--comment "say \\"hi\\" \\\\ there"', ["--comment", 'say "hi" \\ there']],
  ['--comment ""', ["--comment", ""]],
  ["", []],
  ["  a\t b  ", ["a", "b"]],
])("the words of %j", (line, words) => {
  expect(tokenize(line)).toEqual(words);
});

test("reading printed rules gives the same canonical text, for any rules", () => {
  const octets = fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 255 }), fc.nat({ max: 32 }));
  const cidr = octets.map(([a, b, bits]) => {
    const value = (BigInt(a) << 24n) | (BigInt(b) << 16n);
    const base = (value >> BigInt(32 - bits)) << BigInt(32 - bits);
    return `${[24n, 16n, 8n, 0n].map((shift) => (base >> shift) & 255n).join(".")}/${bits}`;
  });
  const range = fc
    .tuple(fc.nat({ max: 65535 }), fc.nat({ max: 65535 }))
    .map(([a, b]) => ({ first: BigInt(Math.min(a, b)), last: BigInt(Math.max(a, b)) }));
  fc.assert(
    fc.property(
      fc.array(cidr, { maxLength: 6 }),
      fc.array(range, { maxLength: 5 }),
      fc.boolean(),
      (cidrs, toPorts, randomFully) => {
        const ruleset = rulesetOf("IPv4", JSON.stringify({ nonMasqueradeCIDRs: cidrs }), { toPorts });
        for (const rule of rulesOf(ruleset, randomFully)) {
          const canonical = canonicalRule(rule);
          const rendered = renderRule("X", rule).slice("-A X ".length);
          expect([canonicalListing("IPv4", canonical), canonicalListing("IPv4", rendered)]).toEqual([
            canonical,
            // A rendered /0 is read as a block, while a listing never shows it.
            rendered.includes("-d 0.0.0.0/0") ? expect.anything() : canonical,
          ]);
        }
      },
    ),
  );
});

test("reading rules of sources, links and addresses in any order gives the same canonical text", () => {
  const family = fc.constantFrom<Family>("IPv4", "IPv6");
  const texts = family.chain((one) => fc.tuple(fc.constant(one), scopedTexts(one)));
  fc.assert(
    fc.property(texts, fc.boolean(), fc.boolean(), ([family, texts], isSet, randomFully) => {
      const ruleset = scopedRuleset(family, texts);
      const layout = layoutOf(ruleset, isSet ? ["destinations", "sources"] : []);
      for (const rule of chainRules(ruleset, layout, randomFully)) {
        const canonical = canonicalRule(rule);
        // iptables lists the conditions on addresses and links before the comment.
        const [, comment = "", conditions = "", rest = ""] =
          /^(-m comment --comment "[^"]*") ?((?:-[sdo] \S+ ?)*)(.*)$/.exec(canonical) ?? [];
        for (const listed of [canonical, `${conditions.trim()} ${comment} ${rest}`])
          expect(canonicalListing(family, listed)).toBe(canonical);
      }
    }),
    { numRuns: times(50, 1_000) },
  );
});

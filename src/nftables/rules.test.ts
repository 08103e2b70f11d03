import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { times } from "../../test/lab/length.ts";
import { type ModelPacket, verdictOf } from "../../test/lab/memory/table.ts";
import { programmed, rulesets, SAMPLES } from "../../test/lab/memory/tables.ts";
import { MAX_MASQUERADE_RULES } from "../backend/masquerade-rules.ts";
import { constantCidr, FAMILY_NAMES } from "../core/cidr.ts";
import { includes } from "../core/intervals.ts";
import type { Ruleset, Scope } from "../core/ruleset.ts";
import { addressOf } from "../core/slots.ts";
import { isOurs } from "../core/sources.ts";
import { renderStatements } from "../netlink/text.ts";
import { tableRules, tooManyForFamily } from "./rules.ts";
import { keptIntervals } from "./sets.ts";

const PORTS = [
  { first: 1024n, last: 29_999n },
  { first: 32_768n, last: 65_535n },
];

const ipv4 = (text = "", options = {}) => rulesetOf("IPv4", text, options);
const ipv6 = (text = "", options = {}) => rulesetOf("IPv6", text, { enableIPv6: true, ...options });

function scopeOf(sources: readonly string[], interfaces: readonly string[] = []): Scope {
  const entry = (text: string) => ({
    cidr: constantCidr(text.replace("!", "")),
    isOurs: !text.startsWith("!"),
  });
  return { sources: sources.map(entry), interfaces };
}

function names({ family, scope }: Ruleset) {
  const keep = `keep-${family.toLowerCase()}`;
  return (scope?.sources.length ?? 0) === 0 ? { keep } : { keep, from: `from-${family.toLowerCase()}` };
}

/** The same, with addresses to leave with. */
function withPool(ruleset: Ruleset, by: "pod" | "flow", ...addresses: readonly bigint[]): Ruleset {
  return { ...ruleset, masquerade: { ...ruleset.masquerade, pool: { addresses, by } } };
}

describe("the rules", () => {
  const text = (...all: Ruleset[]) => tableRules(all, all.map(names)).map(renderStatements);

  test("by default", () => {
    expect(text(ipv4())).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random",
      ]
    `);
  });

  test("with IPv6 ask for the family where they ask for no address", () => {
    expect(text(ipv4(), ipv6())).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "ip6 daddr @keep-ipv6 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 counter packets 0 bytes 0 masquerade fully-random",
      ]
    `);
  });

  test("without random ports", () => {
    expect(text(ipv4("", { randomFully: false })).at(-1)).toMatchInlineSnapshot(
      `"meta nfproto ipv4 counter packets 0 bytes 0 masquerade"`,
    );
  });

  test("for one range of ports", () => {
    const toPorts = [{ first: 5000n, last: 5000n }];
    expect(text(ipv4("", { toPorts }), ipv6("", { toPorts }))).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "ip6 daddr @keep-ipv6 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 meta l4proto tcp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv4 meta l4proto udp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv4 meta l4proto sctp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 meta l4proto tcp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv6 meta l4proto udp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv6 meta l4proto sctp counter packets 0 bytes 0 masquerade to :5000 fully-random",
        "meta nfproto ipv6 counter packets 0 bytes 0 masquerade fully-random",
      ]
    `);
  });

  test("for ranges of ports take each port alike", () => {
    expect(text(ipv4("", { toPorts: PORTS, randomFully: false }))).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 meta l4proto tcp numgen random mod 61744 < 28976 counter packets 0 bytes 0 masquerade to :1024-29999",
        "meta nfproto ipv4 meta l4proto tcp counter packets 0 bytes 0 masquerade to :32768-65535",
        "meta nfproto ipv4 meta l4proto udp numgen random mod 61744 < 28976 counter packets 0 bytes 0 masquerade to :1024-29999",
        "meta nfproto ipv4 meta l4proto udp counter packets 0 bytes 0 masquerade to :32768-65535",
        "meta nfproto ipv4 meta l4proto sctp numgen random mod 61744 < 28976 counter packets 0 bytes 0 masquerade to :1024-29999",
        "meta nfproto ipv4 meta l4proto sctp counter packets 0 bytes 0 masquerade to :32768-65535",
        "meta nfproto ipv4 counter packets 0 bytes 0 masquerade",
      ]
    `);
  });

  test("with sources look them up after the destinations", () => {
    const scope = scopeOf(["10.244.0.0/16"]);
    expect(text({ ...ipv4(), scope }, ipv6())).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "ip6 daddr @keep-ipv6 counter packets 0 bytes 0 return",
        "ip saddr != @from-ipv4 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 counter packets 0 bytes 0 masquerade fully-random",
      ]
    `);
  });

  test("with links compare each name in a rule, and count the rest", () => {
    const scope = scopeOf([], ["eth0", "bond+", "a+b"]);
    expect(
      text({ ...ipv4(), scope }, { ...ipv6("", { toPorts: PORTS.slice(1) }), scope }),
    ).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "ip6 daddr @keep-ipv6 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "meta nfproto ipv4 oifname "eth0" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv4 oifname "bond*" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv4 oifname "a+b" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv4 counter packets 0 bytes 0 return",
        "meta nfproto ipv6 meta l4proto tcp oifname "eth0" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto udp oifname "eth0" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto sctp oifname "eth0" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 oifname "eth0" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 meta l4proto tcp oifname "bond*" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto udp oifname "bond*" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto sctp oifname "bond*" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 oifname "bond*" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 meta l4proto tcp oifname "a+b" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto udp oifname "a+b" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 meta l4proto sctp oifname "a+b" counter packets 0 bytes 0 masquerade to :32768-65535 fully-random",
        "meta nfproto ipv6 oifname "a+b" counter packets 0 bytes 0 masquerade fully-random",
        "meta nfproto ipv6 counter packets 0 bytes 0 return",
      ]
    `);
  });

  test("with one address take it instead of the kernel's choice", () => {
    expect(text(withPool(ipv4(), "pod", 0xc0000201n)).at(-1)).toMatchInlineSnapshot(
      `"meta nfproto ipv4 counter packets 0 bytes 0 snat ip to 192.0.2.1 fully-random"`,
    );
  });

  test("with addresses by pod have one for each slot", () => {
    const two = withPool(ipv4("", { toPorts: PORTS.slice(1) }), "pod", 0xc0000201n, 0xc0000202n);
    expect(text({ ...two, scope: scopeOf([], ["eth0"]) })).toMatchInlineSnapshot(`
      [
        "ip daddr @keep-ipv4 counter packets 0 bytes 0 return",
        "fib daddr type local counter packets 0 bytes 0 return",
        "ip saddr & 0.0.0.1 == 0.0.0.0 meta l4proto tcp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.1:32768-65535 fully-random",
        "ip saddr & 0.0.0.1 == 0.0.0.0 meta l4proto udp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.1:32768-65535 fully-random",
        "ip saddr & 0.0.0.1 == 0.0.0.0 meta l4proto sctp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.1:32768-65535 fully-random",
        "ip saddr & 0.0.0.1 == 0.0.0.0 oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.1 fully-random",
        "meta nfproto ipv4 meta l4proto tcp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.2:32768-65535 fully-random",
        "meta nfproto ipv4 meta l4proto udp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.2:32768-65535 fully-random",
        "meta nfproto ipv4 meta l4proto sctp oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.2:32768-65535 fully-random",
        "meta nfproto ipv4 oifname "eth0" counter packets 0 bytes 0 snat ip to 192.0.2.2 fully-random",
        "meta nfproto ipv4 counter packets 0 bytes 0 return",
      ]
    `);
    const three = text(withPool(ipv6(), "pod", 1n, 2n, 3n)).slice(2);
    expect(three).toHaveLength(16);
    expect([three[0], three[4], three.at(-2), three.at(-1)]).toMatchInlineSnapshot(`
      [
        "ip6 saddr & ::f == :: counter packets 0 bytes 0 snat ip6 to ::1 fully-random",
        "ip6 saddr & ::f == ::4 counter packets 0 bytes 0 snat ip6 to ::2 fully-random",
        "ip6 saddr & ::f == ::e counter packets 0 bytes 0 snat ip6 to ::3 fully-random",
        "meta nfproto ipv6 counter packets 0 bytes 0 snat ip6 to ::1 fully-random",
      ]
    `);
  });

  test("with addresses by flow take each port of each address alike", () => {
    const wanted = withPool(ipv4("", { toPorts: PORTS }), "flow", 1n, 2n);
    expect(text(wanted).filter((line) => !/udp|sctp|return/.test(line))).toMatchInlineSnapshot(`
      [
        "meta nfproto ipv4 meta l4proto tcp numgen random mod 123488 < 28976 counter packets 0 bytes 0 snat ip to 0.0.0.1:1024-29999 fully-random",
        "meta nfproto ipv4 meta l4proto tcp numgen random mod 94512 < 32768 counter packets 0 bytes 0 snat ip to 0.0.0.1:32768-65535 fully-random",
        "meta nfproto ipv4 meta l4proto tcp numgen random mod 61744 < 28976 counter packets 0 bytes 0 snat ip to 0.0.0.2:1024-29999 fully-random",
        "meta nfproto ipv4 meta l4proto tcp counter packets 0 bytes 0 snat ip to 0.0.0.2:32768-65535 fully-random",
        "meta nfproto ipv4 numgen random mod 2 < 1 counter packets 0 bytes 0 snat ip to 0.0.0.1 fully-random",
        "meta nfproto ipv4 counter packets 0 bytes 0 snat ip to 0.0.0.2 fully-random",
      ]
    `);
  });
});

describe("too many rules", () => {
  const scope = scopeOf([], ["a", "b", "c", "d", "e", "f", "g", "h"]);
  const sixteen = Array.from({ length: 16 }, (_, i) => BigInt(i + 1));

  test("are refused by the names of the keys", () => {
    const most = withPool({ ...ipv4(), scope }, "pod", ...sixteen);
    expect(tooManyForFamily(most)).toBeUndefined();
    expect([
      tooManyForFamily(withPool({ ...ipv4("", { toPorts: PORTS.slice(1) }), scope }, "pod", ...sixteen)),
      tooManyForFamily(withPool(ipv6("", { toPorts: [...PORTS, ...PORTS] }), "flow", ...sixteen)),
    ]).toMatchInlineSnapshot(`
      [
        "IPv4: outputInterfaces (8 names), outputAddresses (16 on this node), --to-ports (1 range) would take 512 masquerade rules, and at most 128 are possible: shorten these lists",
        "IPv6: outputAddresses (16 on this node), --to-ports (4 ranges) would take 208 masquerade rules, and at most 128 are possible: shorten these lists",
      ]
    `);
  });

  test("of ports alone are as many as a transaction holds", () => {
    const toPorts = Array.from({ length: 60 }, (_, i) => ({ first: BigInt(i + 1), last: BigInt(i + 1) }));
    expect(tableRules([ipv4("", { toPorts })], [{ keep: "k" }]).length).toBeGreaterThan(MAX_MASQUERADE_RULES);
    expect(tooManyForFamily(ipv4("", { toPorts }))).toBeUndefined();
  });
});

/** What becomes of a packet by the meaning of a configuration. */
function meantFor(ruleset: Ruleset, { source, destination, link }: ModelPacket): RegExp {
  const { scope, masquerade } = ruleset;
  if (isOurs(scope, source, link) !== true || includes(keptIntervals(ruleset), destination)) return /^keep$/;
  if (masquerade.pool === undefined) return /^masquerade$/;
  return new RegExp(
    `^as ${addressOf(masquerade.pool, source) ?? `(${masquerade.pool.addresses.join("|")})`}$`,
  );
}

test("the rules do what any configuration means", () => {
  fc.assert(
    fc.property(rulesets, (wanted) => {
      const model = programmed(wanted);
      for (const packet of SAMPLES) {
        const ruleset = wanted.find(({ family }) => family === FAMILY_NAMES[packet.family]);
        if (ruleset !== undefined) expect(verdictOf(model, packet)).toMatch(meantFor(ruleset, packet));
      }
    }),
    { numRuns: times(100, 600) },
  );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { times } from "../../test/lab/length.ts";
import { createChainNode, type MemoryFlow } from "../../test/lab/memory/chain-node.ts";
import {
  FLOW_LINKS,
  nearbyAddresses,
  type ScopedTexts,
  scopedRuleset,
  scopedTexts,
} from "../../test/lab/scoped.ts";
import { type Family, formatAddress, lastAddress } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { addressOf } from "../core/slots.ts";
import { isOurs } from "../core/sources.ts";
import { chainRules } from "./chain-rules.ts";
import { layoutOf } from "./layout.ts";
import { iptablesPlanner } from "./plan.ts";
import { renderRule } from "./rule.ts";

const PORTS = { first: 32_768n, last: 65_535n };

/** The rules after those of destinations, without their comments. */
function masquerading(family: Family, texts: ScopedTexts, sets: readonly "sources"[] = []): string {
  const ruleset = scopedRuleset(family, texts);
  return chainRules(ruleset, layoutOf(ruleset, sets), true)
    .map((rule) => renderRule("X", rule))
    .filter((line) => !line.includes("local traffic"))
    .map((line) => line.replace(/ -m comment --comment "[^"]*"/, ""))
    .join("\n");
}

describe("the rules of", () => {
  test("sources and links, with their comments", () => {
    const ruleset = scopedRuleset("IPv4", {
      kept: ["10.0.0.0/8"],
      ours: ["10.244.0.0/16"],
      others: ["10.244.128.0/20"],
      interfaces: ["eth0", "bond+"],
    });
    const lines = chainRules(ruleset, layoutOf(ruleset, []), true).map((rule) =>
      renderRule("IP-MASQ-AGENT", rule),
    );
    expect(lines.slice(1).join("\n")).toMatchInlineSnapshot(`
      "-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/8 -j RETURN
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: source is not subject to MASQUERADE" -s 10.244.128.0/20 -j RETURN
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.244.0.0/16 -o eth0 -j MASQUERADE --random-fully
      -A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.244.0.0/16 -o bond+ -j MASQUERADE --random-fully"
    `);
  });

  test("sources that nest: what is left of an exception is excepted, the rest is not", () => {
    const texts = { ours: ["10.244.0.0/16", "10.244.5.0/24"], others: ["10.244.0.0/20"] };
    expect(masquerading("IPv4", texts)).toMatchInlineSnapshot(`
      "-A X -s 10.244.0.0/22 -j RETURN
      -A X -s 10.244.4.0/24 -j RETURN
      -A X -s 10.244.6.0/23 -j RETURN
      -A X -s 10.244.8.0/21 -j RETURN
      -A X -s 10.244.0.0/16 -j MASQUERADE --random-fully"
    `);
  });

  test("sources that are not ours alone", () => {
    expect(masquerading("IPv4", { others: ["10.244.1.5/32"] })).toMatchInlineSnapshot(`
      "-A X -s 10.244.1.5/32 -j RETURN
      -A X -j MASQUERADE --random-fully"
    `);
  });

  test("a set of sources", () => {
    const texts = { ours: ["10.244.0.0/16"], others: ["10.244.128.0/20"], pool: ["192.0.2.1", "192.0.2.2"] };
    expect(masquerading("IPv4", texts, ["sources"])).toMatchInlineSnapshot(`
      "-A X -m set ! --match-set IP-MASQ-AGENT-S4 src -j RETURN
      -A X -s 0.0.0.0/0.0.0.1 -j SNAT --to-source 192.0.2.1 --random-fully
      -A X -j SNAT --to-source 192.0.2.2 --random-fully"
    `);
  });

  test("one address", () => {
    const texts = { ours: ["10.244.0.0/16"], interfaces: ["eth0"], pool: ["192.0.2.10"] };
    expect(masquerading("IPv4", texts)).toMatchInlineSnapshot(
      `"-A X -s 10.244.0.0/16 -o eth0 -j SNAT --to-source 192.0.2.10 --random-fully"`,
    );
  });

  test("addresses by pod, with ports", () => {
    const texts = { ours: ["fd00:244::/32"], pool: ["2001:db8::1", "2001:db8::2"], toPorts: [PORTS] };
    expect(masquerading("IPv6", texts)).toMatchInlineSnapshot(`
      "-A X -s fd00:244::/ffff:ffff::1 -p tcp -j SNAT --to-source [2001:db8::1]:32768-65535 --random-fully
      -A X -s fd00:244::/ffff:ffff::1 -p udp -j SNAT --to-source [2001:db8::1]:32768-65535 --random-fully
      -A X -s fd00:244::/ffff:ffff::1 -p sctp -j SNAT --to-source [2001:db8::1]:32768-65535 --random-fully
      -A X -s fd00:244::/ffff:ffff::1 -j SNAT --to-source 2001:db8::1 --random-fully
      -A X -s fd00:244::/32 -p tcp -j SNAT --to-source [2001:db8::2]:32768-65535 --random-fully
      -A X -s fd00:244::/32 -p udp -j SNAT --to-source [2001:db8::2]:32768-65535 --random-fully
      -A X -s fd00:244::/32 -p sctp -j SNAT --to-source [2001:db8::2]:32768-65535 --random-fully
      -A X -s fd00:244::/32 -j SNAT --to-source 2001:db8::2 --random-fully"
    `);
  });

  test("addresses by pod, for blocks that fix some of a slot's bits", () => {
    const texts = {
      ours: ["10.0.0.5/32", "10.0.1.2/31"],
      pool: ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
    };
    expect(masquerading("IPv4", texts)).toMatchInlineSnapshot(`
      "-A X -s 10.0.0.5/32 -j SNAT --to-source 192.0.2.2 --random-fully
      -A X -s 10.0.1.2/32 -j SNAT --to-source 192.0.2.3 --random-fully
      -A X -s 10.0.1.2/31 -j SNAT --to-source 192.0.2.4 --random-fully"
    `);
  });

  test("addresses by flow, which share addresses and ports in one sequence", () => {
    const toPorts = [PORTS, { first: 1_024n, last: 1_024n }];
    const texts = { pool: ["192.0.2.1", "192.0.2.2"], by: "flow" as const, toPorts };
    expect(
      masquerading("IPv4", texts)
        .split("\n")
        .filter((line) => !/-p (udp|sctp)/.test(line))
        .join("\n"),
    ).toMatchInlineSnapshot(`
      "-A X -p tcp -m statistic --mode random --probability 0.49998474168 -j SNAT --to-source 192.0.2.1:32768-65535 --random-fully
      -A X -p tcp -m statistic --mode random --probability 0.00003051572 -j SNAT --to-source 192.0.2.1:1024 --random-fully
      -A X -p tcp -m statistic --mode random --probability 0.99996948335 -j SNAT --to-source 192.0.2.2:32768-65535 --random-fully
      -A X -p tcp -j SNAT --to-source 192.0.2.2:1024 --random-fully
      -A X -m statistic --mode random --probability 0.50000000000 -j SNAT --to-source 192.0.2.1 --random-fully
      -A X -j SNAT --to-source 192.0.2.2 --random-fully"
    `);
  });
});

/** What a flow may meet, by the lists themselves. */
function expected(
  ruleset: Ruleset,
  { source = 0n, destination, link = "" }: MemoryFlow,
  ports: boolean,
): readonly string[] {
  const { family, scope, entries, masquerade } = ruleset;
  const isKept = entries
    .filter(({ cidr }) => cidr.base <= destination && destination <= lastAddress(cidr))
    .reduce<Ruleset["entries"][number] | undefined>(
      (best, entry) => (best !== undefined && best.cidr.bits >= entry.cidr.bits ? best : entry),
      undefined,
    );
  if (isKept?.verdict === "return" || isOurs(scope, source, link) !== true) return ["RETURN", "end of chain"];
  const { pool, toPorts } = masquerade;
  const [range] = ports ? toPorts : [];
  const to =
    range === undefined
      ? ""
      : ` ${range.first === range.last ? range.first : `${range.first}-${range.last}`}`;
  if (pool === undefined) return [`MASQUERADE${to}`];
  const one = addressOf(pool, source);
  const brackets = (address: bigint) =>
    family === "IPv6" && to !== "" ? `[${formatAddress(family, address)}]` : formatAddress(family, address);
  return (one === undefined ? pool.addresses : [one]).map(
    (address) => `SNAT ${brackets(address)}${to.replace(" ", ":")}`,
  );
}

/** Flows between addresses that the lists tell apart, some of them. */
function flows(family: Family, seed: number): MemoryFlow[] {
  const addresses = nearbyAddresses(family);
  return Array.from({ length: 40 }, (_, i) => {
    const at = seed * 7 + i * 13;
    const pick = <T>(all: readonly T[], step: number) => all[(at * step + i) % all.length] as T;
    return {
      source: pick(addresses, 5),
      destination: pick(addresses, 11),
      link: pick(FLOW_LINKS, 3),
      protocol: i % 5 === 0 ? "icmp" : "tcp",
    };
  });
}

const FAMILIES: readonly Family[] = ["IPv4", "IPv6"];
/** Chain; sets for any list of destinations and long lists of sources. */
const PLANNERS = [0, 1].map((threshold) => iptablesPlanner("path", threshold));

test("a chain, with or without sets, decides about every flow as the lists say", () => {
  for (const family of FAMILIES)
    fc.assert(
      fc.property(scopedTexts(family), fc.nat(1_000), (texts, seed) => {
        const ruleset = scopedRuleset(family, texts);
        for (const planner of PLANNERS) {
          const node = createChainNode(planner, family);
          if (node.plan(ruleset).refusal !== undefined) continue;
          node.pass(ruleset);
          expect(node.plan(ruleset)).toEqual({ drift: [], steps: [] });
          for (const flow of flows(family, seed)) {
            const all = expected(ruleset, flow, flow.protocol === "tcp");
            const actual = node.verdict(flow).split(",");
            expect({ flow, actual: actual.filter((one) => !all.includes(one)) }).toEqual({
              flow,
              actual: [],
            });
            if (all[0] !== "RETURN") expect(actual).toHaveLength(all.length);
          }
        }
      }),
      { numRuns: times(15, 600) },
    );
});

/** Whether a flow is masqueraded, whatever the address; it may depend on chance never. */
function isMasqueraded(verdict: string): boolean {
  return /MASQUERADE|SNAT/.test(verdict);
}

test("while all lists change, a flow that both configurations treat alike is always treated so", () => {
  for (const family of FAMILIES)
    fc.assert(
      fc.property(scopedTexts(family), scopedTexts(family), fc.nat(1_000), (before, after, seed) => {
        for (const planner of [...PLANNERS, iptablesPlanner("path", 3)]) {
          const node = createChainNode(planner, family);
          const [old, fresh] = [before, after].map((texts) => scopedRuleset(family, texts)) as [
            Ruleset,
            Ruleset,
          ];
          if ([old, fresh].some((one) => node.plan(one).refusal !== undefined)) continue;
          node.pass(old);
          const all = flows(family, seed);
          const look = () => all.map((flow) => isMasqueraded(node.verdict(flow)));
          const seen = [look()];
          node.pass(fresh, () => seen.push(look()));
          expect(node.plan(fresh).steps).toEqual([]);
          const last = seen.at(-1) as boolean[];
          for (const [i, flow] of all.entries()) {
            if (seen[0]?.[i] !== last[i]) continue;
            expect({ flow, seen: seen.map((one) => one[i]) }).toEqual({
              flow,
              seen: seen.map(() => last[i]),
            });
          }
        }
      }),
      { numRuns: times(15, 600) },
    );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { times } from "../../test/lab/length.ts";
import { CAPABILITIES, createChainNode } from "../../test/lab/memory/chain-node.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { type OwnSet, ownSets } from "./ipset.ts";
import { destroySets, fillSet, saveSet } from "./ipset-scripts.ts";
import { iptablesPlanner } from "./plan.ts";
import { changeSets } from "./set-changes.ts";

const CHAIN = "IP-MASQ-AGENT";
const SET = "IP-MASQ-AGENT-4";
/** Longer lists go into a set. */
const THRESHOLD = 3;
const backend = iptablesPlanner("path", THRESHOLD);

const ipv4 = (cidrs: readonly string[], more = "") =>
  rulesetOf("IPv4", `nonMasqueradeCIDRs: ${JSON.stringify(cidrs)}\n${more}`);
const list = (count: number) => Array.from({ length: count }, (_, i) => `10.${i}.0.0/16`);

const createNode = () => createChainNode(backend);

describe("a long list", () => {
  test("is a set that is filled before the chain looks it up", () => {
    const { pass, nat, ipset } = createNode();
    expect(pass(ipv4(list(4)))).toMatchInlineSnapshot(`
      {
        "calls": [
          "ipset destroy IP-MASQ-AGENT-4~",
          "ipset restore",
          "iptables -N IP-MASQ-AGENT -t nat",
          "iptables -C POSTROUTING -t nat ...",
          "iptables -A POSTROUTING -t nat ...",
          "iptables-restore --noflush",
        ],
        "drift": [
          "set IP-MASQ-AGENT-4 was missing",
          "chain IP-MASQ-AGENT was missing",
          "the jump from POSTROUTING to IP-MASQ-AGENT was missing",
        ],
      }
    `);
    expect(nat.chains.get(CHAIN)).toMatchInlineSnapshot(`
      [
        "-d 169.254.0.0/16 -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN",
        "-m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -m set --match-set IP-MASQ-AGENT-4 dst -j RETURN",
        "-m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully",
      ]
    `);
    expect([...ipset.sets]).toEqual([[SET, ["169.254.0.0/16", ...list(4)]]]);
  });

  test("that is in force takes no step", () => {
    const { pass, plan } = createNode();
    pass(ipv4(list(4)));
    expect(plan(ipv4(list(4)))).toEqual({ drift: [], steps: [] });
    expect(plan(ipv4(list(4).reverse()))).toEqual({ drift: [], steps: [] });
  });

  test("that changes changes the set alone", () => {
    const { pass, ipset } = createNode();
    pass(ipv4(list(4)));
    expect(pass(ipv4(list(5)))).toMatchInlineSnapshot(`
      {
        "calls": [
          "ipset destroy IP-MASQ-AGENT-4~",
          "ipset restore",
        ],
        "drift": [
          "set IP-MASQ-AGENT-4 was [5] instead of [6 elements]",
        ],
      }
    `);
    expect([...ipset.sets.keys()]).toEqual([SET]);
    expect(ipset.sets.get(SET)).toHaveLength(6);
  });

  test("that a chain had before is a set first, and a chain last", () => {
    const { pass } = createNode();
    pass(ipv4(list(3)));
    expect(pass(ipv4(list(4))).calls).toMatchInlineSnapshot(`
      [
        "ipset destroy IP-MASQ-AGENT-4~",
        "ipset restore",
        "iptables-restore --noflush",
      ]
    `);
  });

  test("that becomes short is a chain again, and then the set goes", () => {
    const { pass, plan, ipset } = createNode();
    pass(ipv4(list(4)));
    expect(pass(ipv4(list(3))).calls).toMatchInlineSnapshot(`
      [
        "iptables-restore --noflush",
        "ipset destroy IP-MASQ-AGENT-4~",
        "ipset destroy IP-MASQ-AGENT-4",
      ]
    `);
    expect(ipset.sets.size).toBe(0);
    expect(plan(ipv4(list(3))).steps).toEqual([]);
  });

  test("is a chain if there is no ipset", () => {
    const { steps } = backend.plan(
      ipv4(list(4)),
      { ...CAPABILITIES, ipset: false },
      { rules: undefined, jump: false },
    );
    expect(steps.map(({ file }) => file)).toEqual(["iptables", "iptables", "iptables-restore"]);
  });

  test("that ipset would read otherwise is refused as a whole", () => {
    const { plan } = createNode();
    const { steps, drift, refusal } = plan(ipv4([...list(4), "10.0.0.0/08"]));
    expect([steps, drift]).toEqual([[], []]);
    expect(refusal).toMatch(/^write 10\.0\.0\.0\/8 instead/);
  });
});

describe("a killed agent", () => {
  /** What the first `steps` of a plan leave, and the last of them only in part. */
  function kill(node: ReturnType<typeof createNode>, ruleset: Ruleset, steps: number) {
    let left = steps;
    try {
      node.pass(ruleset, () => {
        if (--left === 0) throw new Error("killed");
      });
    } catch {}
  }

  test.each([1, 2, 3, 4, 5])(
    "after %i steps leaves nothing that the next one does not put right",
    (steps) => {
      for (const [before, meant] of [
        [list(4), list(6)],
        [list(4), list(2)],
        [list(2), list(5)],
      ] as const) {
        const node = createNode();
        node.pass(ipv4(before));
        kill(node, ipv4(meant), steps);
        node.pass(ipv4(list(5)));
        expect(node.plan(ipv4(list(5)))).toEqual({ drift: [], steps: [] });
        expect([...node.ipset.sets]).toEqual([[SET, ["169.254.0.0/16", ...list(5)]]]);
      }
    },
  );

  test("half through filling leaves a set that is thrown away", () => {
    const node = createNode();
    node.pass(ipv4(list(4)));
    node.ipset.sets.set(`${SET}~`, ["10.9.0.0/16"]);
    node.pass(ipv4(list(5)));
    expect([...node.ipset.sets.keys()]).toEqual([SET]);
  });
});

test("while rules are in place, an address never has another verdict than before or after", () => {
  const cidr = fc
    .record({ bits: fc.integer({ min: 1, max: 5 }), block: fc.nat(31) })
    .map(({ bits, block }) => `${(block >> (5 - bits)) << (8 - bits)}.0.0.0/${bits}`);
  const extra = fc.constantFrom("169.254.0.0/16", "169.254.169.254/32");
  const config = fc
    .uniqueArray(fc.oneof({ weight: 6, arbitrary: cidr }, { weight: 1, arbitrary: extra }), { maxLength: 8 })
    .chain((all) =>
      fc.tuple(fc.constant(all), fc.subarray(all, { maxLength: Math.min(all.length, 2) }), fc.boolean()),
    )
    .map(([all, exceptions, masqLinkLocal]) => {
      const kept = all.filter((one) => !exceptions.includes(one));
      const more = exceptions.length === 0 ? "" : `masqueradeCIDRs: ${JSON.stringify(exceptions)}\n`;
      return ipv4(kept, `${more}masqLinkLocal: ${masqLinkLocal}`);
    });
  const samples = [...Array(32).keys()].map((block) => (BigInt(block) << 27n) + 5n);
  const addresses = [...samples, 0xa9fe0001n, 0xa9fea9fen];
  fc.assert(
    fc.property(config, config, (before, after) => {
      const { pass, verdict, plan } = createNode();
      pass(before);
      const seen = [addresses.map((destination) => verdict({ destination }))];
      pass(after, () => seen.push(addresses.map((destination) => verdict({ destination }))));
      expect(plan(after).steps).toEqual([]);
      for (const i of addresses.keys()) {
        const verdicts = seen.map((all) => all[i]);
        const changes = verdicts.filter((one, at) => at > 0 && one !== verdicts[at - 1]);
        expect(changes.length).toBe(verdicts[0] === verdicts.at(-1) ? 0 : 1);
      }
    }),
    { numRuns: times(100, 300) },
  );
});

describe("scripts", () => {
  const ruleset = ipv4(list(4));
  const [destinations] = ownSets(ruleset) as [OwnSet];

  test("of sets that are not wanted and not there are none", () => {
    const nothing = { rules: [], jump: true };
    expect(changeSets(ruleset, { sets: {} }, nothing, true)).toEqual({ before: [], after: [], drift: [] });
  });

  test("that remove a set accept a missing one", () => {
    expect(destroySets(destinations).map(({ args, accept }) => ({ args, accept }))).toEqual([
      { args: ["destroy", `${SET}~`], accept: [1] },
      { args: ["destroy", SET], accept: [1] },
    ]);
  });

  test("that read accept a missing set as an answer", () => {
    const { args, accept } = saveSet(destinations);
    expect({ args, accept }).toEqual({ args: ["save", SET], accept: [1] });
    expect(backend.parseSet({ exitCode: 1, stdout: "", stderr: "" })).toBeUndefined();
  });

  test("that fill a long list may take longer", () => {
    const deadline = (count: number) => {
      const elements = Array.from({ length: count }, (_, i) => `10.0.0.${i}`);
      return fillSet(destinations, elements, false).at(-1)?.deadlineMs;
    };
    expect(deadline(100_000)).toBe((deadline(0) ?? 0) + 100_000);
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { times } from "../../test/lab/length.ts";
import { applyBatch, lookedUp, type Model, stateOf, verdictOf } from "../../test/lab/memory/table.ts";
import {
  interrupted,
  maxBytes,
  programmed,
  rulesets,
  SAMPLES,
  tampered,
} from "../../test/lab/memory/tables.ts";
import { renderDrift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { encodeBatch } from "../netlink/encode.ts";
import type { Operation } from "../netlink/operations.ts";
import { renderScript, renderStatements } from "../netlink/text.ts";
import { isOwnTable, ownerComment, planTable, tableRules } from "./plan.ts";
import { TABLE, type TableState } from "./sets.ts";

const ENOUGH = 400_000;
const PORTS = [
  { first: 1024n, last: 29_999n },
  { first: 32_768n, last: 65_535n },
];

const ipv4 = (text = "", options = {}) => rulesetOf("IPv4", text, options);
const ipv6 = (text = "", options = {}) => rulesetOf("IPv6", text, { enableIPv6: true, ...options });

/** What a plan for a table says of it, and the commands that it takes. */
function planned(wanted: readonly Ruleset[], model: Model) {
  const { drift, steps, refusal } = planTable(wanted, stateOf(model), ENOUGH);
  const text = steps.map(({ operations, purpose }) => `# ${purpose}\n${renderScript(operations)}`);
  return { drift: drift.map(renderDrift), text: text.join(""), refusal };
}

/** The table of a model that there is. */
function tableOf(model: Model): Exclude<Model, undefined> {
  if (model === undefined) throw new Error("no table");
  return model;
}

describe("the rules", () => {
  const text = (...all: Ruleset[]) =>
    tableRules(
      all,
      all.map(({ family }) => `keep-${family.toLowerCase()}`),
    ).map(renderStatements);

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
});

describe("a plan", () => {
  const model = programmed([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")]);

  test("for no table fills the set before there are rules", () => {
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], undefined)).toMatchInlineSnapshot(`
      {
        "drift": [
          "table inet ip-masq-agent was missing",
          "set keep-ipv4 was missing [2 intervals]",
          "chain postrouting was missing",
        ],
        "refusal": undefined,
        "text": "# filling sets
      add table inet ip-masq-agent { comment "ip-masq-agent chain=IP-MASQ-AGENT"; }
      add set inet ip-masq-agent keep-ipv4 { type ipv4_addr; flags interval; }
      add element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8, 169.254.0.0/16 }
      # programming rules
      add chain inet ip-masq-agent postrouting { type nat hook postrouting priority 101; policy accept; }
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      ",
      }
    `);
  });

  test("for rules in force is empty", () => {
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], model)).toEqual({
      drift: [],
      text: "",
      refusal: undefined,
    });
  });

  test("for another list changes the set alone", () => {
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/9, 11.0.0.0/8]")], model)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set keep-ipv4 had 1 interval too many and 2 too few",
        ],
        "refusal": undefined,
        "text": "# changing sets
      delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.0.0/9, 11.0.0.0/8 }
      ",
      }
    `);
  });

  test("for an empty list empties the set", () => {
    expect(planned([ipv4("nonMasqueradeCIDRs: []\nmasqLinkLocal: true")], model)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set keep-ipv4 had 2 intervals too many and 0 too few",
        ],
        "refusal": undefined,
        "text": "# changing sets
      delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8, 169.254.0.0/16 }
      ",
      }
    `);
  });

  test("for other options replaces the rules alone", () => {
    const wanted = ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]", { randomFully: false });
    expect(planned([wanted], model)).toMatchInlineSnapshot(`
      {
        "drift": [
          "rule 3 of chain postrouting was [meta nfproto ipv4 counter masquerade fully-random] instead of [meta nfproto ipv4 counter masquerade]",
        ],
        "refusal": undefined,
        "text": "# programming rules
      flush chain inet ip-masq-agent postrouting
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade
      ",
      }
    `);
  });

  test("for a change that does not fit fills the other set", () => {
    const { steps } = planTable([ipv4("nonMasqueradeCIDRs: [10.0.0.0/9]")], stateOf(model), 100);
    expect(steps.map(({ operations }) => renderScript(operations))).toMatchInlineSnapshot(`
      [
        "add set inet ip-masq-agent keep-ipv4-next { type ipv4_addr; flags interval; }
      ",
        "add element inet ip-masq-agent keep-ipv4-next { 10.0.0.0/9 }
      ",
        "add element inet ip-masq-agent keep-ipv4-next { 169.254.0.0/16 }
      ",
        "flush chain inet ip-masq-agent postrouting
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4-next counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      ",
        "delete set inet ip-masq-agent handle 132890402888
      ",
      ]
    `);
  });

  test("removes foreign objects", () => {
    const table = tableOf(model);
    const theirs = {
      ...table,
      chains: { ...table.chains, theirs: { rules: [] } },
      sets: { ...table.sets, more: { key: "type 13", flags: ["timeout"], elements: [] } },
    };
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], theirs)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set more was unexpected",
          "chain theirs was unexpected",
        ],
        "refusal": undefined,
        "text": "# removing foreign objects
      flush table inet ip-masq-agent
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      # removing foreign objects
      delete set inet ip-masq-agent handle 431086626138
      delete chain inet ip-masq-agent handle 929448987167
      ",
      }
    `);
  });

  test("replaces a chain with a different hook", () => {
    const table = tableOf(model);
    const { postrouting } = table.chains;
    const base = { type: "nat", hook: "postrouting", priority: 100, policy: "accept" } as const;
    const moved = { ...table, chains: { postrouting: { rules: postrouting?.rules ?? [], base } } };
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], moved)).toMatchInlineSnapshot(`
      {
        "drift": [
          "chain postrouting was [{"type":"nat","hook":"postrouting","priority":100,"policy":"accept"}] instead of [{"type":"nat","hook":"postrouting","priority":101,"policy":"accept"}]",
        ],
        "refusal": undefined,
        "text": "# making room for the chain
      rename chain inet ip-masq-agent postrouting postrouting-1
      # programming rules
      add chain inet ip-masq-agent postrouting { type nat hook postrouting priority 101; policy accept; }
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      # removing foreign objects
      flush table inet ip-masq-agent
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      # removing foreign objects
      delete chain inet ip-masq-agent handle 259422972960
      ",
      }
    `);
  });

  test("wakes a table that sleeps", () => {
    const asleep = { ...tableOf(model), dormant: true };
    expect(planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], asleep)).toMatchInlineSnapshot(`
      {
        "drift": [
          "table inet ip-masq-agent was [dormant] instead of [awake]",
        ],
        "refusal": undefined,
        "text": "# waking the table
      add table inet ip-masq-agent { comment "ip-masq-agent chain=IP-MASQ-AGENT"; }
      ",
      }
    `);
  });
});

describe("it does nothing, and says why,", () => {
  test.each([
    ["another agent's", { comment: ownerComment("OTHER"), chains: {}, sets: {} }],
    ["nobody's", { chains: {}, sets: {} }],
  ])("if the table is %s", (_whose, model) => {
    const { drift, steps, refusal } = planTable([ipv4()], stateOf(model), ENOUGH);
    expect([drift, steps]).toEqual([[], []]);
    expect(refusal).toContain("it is not ours, so the agent does not change it");
    expect(
      isOwnTable({ family: "inet", table: "t", handle: 1, dormant: false, ...model }, "IP-MASQ-AGENT"),
    ).toBe(false);
  });

  test("if ports are none", () => {
    const toPorts = [...PORTS, { first: 70_000n, last: 70_001n }];
    expect(planned([ipv4("", { toPorts })], undefined)).toMatchInlineSnapshot(`
      {
        "drift": [],
        "refusal": "--to-ports: 70001 is not a valid port",
        "text": "",
      }
    `);
  });

  test.each(['a"b', "a\nb", "x".repeat(120)])("if the chain's name is %j", (masqChain) => {
    const { drift, steps, refusal } = planTable([ipv4("", { masqChain })], stateOf(undefined), ENOUGH);
    expect([drift, steps]).toEqual([[], []]);
    expect(refusal).toContain("--masq-chain");
  });

  test("if another process owns the table", () => {
    const state = stateOf({ comment: ownerComment("IP-MASQ-AGENT"), chains: {}, sets: {} });
    const owned = { ...state, table: { ...TABLE, handle: 1, dormant: false, owner: 4711 } };
    const { drift, steps, refusal } = planTable([ipv4()], owned, ENOUGH);
    expect([drift, steps]).toEqual([[], []]);
    expect(refusal).toMatchInlineSnapshot(
      `"table inet ip-masq-agent is owned by netlink port 4711: no other process can change it; end that process, or delete the table there"`,
    );
  });
});

/** The models that the steps of a plan lead through, the first one included. */
function replay(wanted: readonly Ruleset[], start: Model, most: number) {
  const { steps } = planTable(wanted, stateOf(start), most);
  const models = [start];
  for (const { operations } of steps) models.push(applyBatch(models.at(-1), operations));
  return { steps, models };
}

describe("whatever state the table is in,", () => {
  test("one plan brings the rules in force, and the next is empty", () => {
    fc.assert(
      fc.property(rulesets, tampered, maxBytes, (wanted, start, most) => {
        const { models } = replay(wanted, start, most);
        const next = planTable(wanted, stateOf(models.at(-1)), most);
        expect([next.drift, next.steps, next.refusal]).toEqual([[], [], undefined]);
        const fresh = programmed(wanted);
        for (const { family, address } of SAMPLES)
          expect(verdictOf(models.at(-1), family, address)).toBe(verdictOf(fresh, family, address));
      }),
      { numRuns: times(60, 150) },
    );
  });

  test("a plan knows the state after its steps", () => {
    const shown = ({ table, chains, sets, rules }: TableState) => ({
      table: [table?.comment, table?.dormant],
      chains: chains.map(({ chain, base }) => [chain, base]),
      sets: new Map(sets.map(({ set, elements }) => [set.set, [set.key, set.flags, set.size, elements]])),
      rules: rules.map(({ statements }) => renderStatements(statements)),
    });
    fc.assert(
      fc.property(rulesets, tampered, maxBytes, (wanted, start, most) => {
        const { after } = planTable(wanted, stateOf(start), most);
        expect(shown(after)).toEqual(shown(stateOf(replay(wanted, start, most).models.at(-1))));
      }),
    );
  });

  test("a plan has drift to tell if, and only if, it has steps", () => {
    fc.assert(
      fc.property(rulesets, tampered, (wanted, start) => {
        const { steps, drift } = planTable(wanted, stateOf(start), ENOUGH);
        expect(drift.length > 0).toBe(steps.length > 0);
      }),
    );
  });

  test("no transaction is larger than the buffers, but for the rules, which are one", () => {
    fc.assert(
      fc.property(rulesets, tampered, maxBytes, (wanted, start, most) => {
        for (const { operations } of replay(wanted, start, most).steps) {
          const { budget } = encodeBatch(operations, 1);
          const hasRules = operations.some(({ op }) => op === "add rule");
          expect(budget).toBeLessThanOrEqual(hasRules ? ENOUGH / 10 : most);
        }
      }),
      { numRuns: times(40, 100) },
    );
  });
});

test.each([2_558, 2_559, 2_560, 2_561])("removed and added elements fit %i bytes together", (most) => {
  const wanted = ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]");
  const set = {
    family: "inet",
    table: "ip-masq-agent",
    handle: 1,
    set: "keep-ipv4",
    key: "ipv4_addr",
    flags: ["interval"],
  };
  const start = stateOf({ comment: ownerComment("IP-MASQ-AGENT"), chains: {}, sets: {} });
  const elements = [{ first: 1n, last: 1n }];
  const { steps } = planTable([wanted], { ...start, sets: [{ set, elements }] }, most);
  const budgets = steps
    .filter(({ operations }) => operations.every(({ op }) => op.endsWith("elements")))
    .map(({ operations }) => encodeBatch(operations, 1).budget);
  expect(budgets.filter((budget) => budget > most)).toEqual([]);
});

test.each([40_000, 212_960, 425_952])("a change of many elements fits %i bytes", (most) => {
  const list = (offset: number, count: number) =>
    Array.from({ length: count }, (_, i) => `10.${i >> 7}.${(i & 127) * 2}.${offset}/32`);
  const fromList = (cidrs: string[]) =>
    ipv4(`cidrLimit: 100000\nnonMasqueradeCIDRs: ${JSON.stringify(cidrs)}`);
  for (const count of [410, 430, 5_030, 5_040]) {
    const start = stateOf({ comment: ownerComment("IP-MASQ-AGENT"), chains: {}, sets: {} });
    const elements = fromList(list(1, count))
      .entries.slice(1)
      .map(({ cidr }) => ({ first: cidr.base, last: cidr.base }));
    const set = {
      family: "inet",
      table: "ip-masq-agent",
      handle: 1,
      set: "keep-ipv4",
      key: "ipv4_addr",
      flags: ["interval"],
    };
    const { steps } = planTable([fromList(list(3, count))], { ...start, sets: [{ set, elements }] }, most);
    for (const { operations } of steps) expect(encodeBatch(operations, 1).budget).toBeLessThanOrEqual(most);
  }
});

describe("while rules are in place,", () => {
  /** Rules in force, and possible leftovers of a killed agent next to them. */
  const inPlace = interrupted.filter((model) => lookedUp(model).length > 0);

  test("an address never has another verdict than before or after", () => {
    fc.assert(
      fc.property(rulesets, inPlace, maxBytes, (wanted, start, most) => {
        const { models } = replay(wanted, start, most);
        for (const { family, address } of SAMPLES) {
          const verdicts = models.map((model) => verdictOf(model, family, address));
          const changes = verdicts.filter((verdict, i) => i > 0 && verdict !== verdicts[i - 1]);
          expect(changes.length).toBe(verdicts[0] === verdicts.at(-1) ? 0 : 1);
        }
      }),
      { numRuns: times(48, 120) },
    );
  });

  test("a table replaced in one transaction is what this would find", () => {
    const old = programmed([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")]);
    const replaced = programmed([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], undefined);
    const between = applyBatch(old, [{ op: "delete table", family: "inet", table: "ip-masq-agent" }]);
    const address = 10n << 24n;
    expect([old, between, replaced].map((model) => verdictOf(model, "ip", address))).toEqual([
      "keep",
      "keep",
      "keep",
    ]);
    expect([old, between, replaced].map((model) => verdictOf(model, "ip", 1n))).toEqual([
      "masquerade",
      "keep",
      "masquerade",
    ]);
  });
});

test("no set is made, or filled for the first time, in the transaction of a rule that looks it up", () => {
  const makes = ({ op }: Operation) => op === "add set" || op === "add elements";
  fc.assert(
    fc.property(rulesets, tampered, maxBytes, (wanted, start, most) => {
      for (const { operations } of replay(wanted, start, most).steps) {
        const made = operations.filter(makes).flatMap((one) => ("set" in one ? one.set : []));
        const rules = operations.flatMap((one) => ("statements" in one ? one.statements : []));
        const used = rules.flatMap((one) => (one.kind === "daddr" ? one.set : []));
        expect(used.filter((set) => made.includes(set))).toEqual([]);
      }
    }),
    { numRuns: times(40, 100) },
  );
});

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
import { constantCidr } from "../core/cidr.ts";
import { renderDrift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { encodeBatch } from "../netlink/encode.ts";
import type { Operation } from "../netlink/operations.ts";
import { renderScript, renderStatements } from "../netlink/text.ts";
import { isOwnTable, ownerComment, planTable, tooManyRules } from "./plan.ts";
import { TABLE, type TableState } from "./sets.ts";

const ENOUGH = 400_000;
const PORTS = [
  { first: 1024n, last: 29_999n },
  { first: 32_768n, last: 65_535n },
];

const ipv4 = (text = "", options = {}) => rulesetOf("IPv4", text, options);

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

  /** Everything is ours but what the text says. */
  const scoped = (text: string, sources: readonly string[], interfaces: readonly string[] = []): Ruleset => ({
    ...ipv4(text),
    scope: { sources: sources.map((one) => ({ cidr: constantCidr(one), isOurs: true })), interfaces },
  });

  test("for sources fills their set before a rule looks it up, and removes it after the last one did", () => {
    const wanted = scoped("nonMasqueradeCIDRs: [10.0.0.0/8]", ["10.244.0.0/16"]);
    expect(planned([wanted], model)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set from-ipv4 was missing [1 interval]",
          "rule 2 of chain postrouting was missing [ip saddr != @from-ipv4 counter return]",
        ],
        "refusal": undefined,
        "text": "# filling sets
      add set inet ip-masq-agent from-ipv4 { type ipv4_addr; flags interval; }
      add element inet ip-masq-agent from-ipv4 { 10.244.0.0/16 }
      # programming rules
      flush chain inet ip-masq-agent postrouting
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting ip saddr != @from-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      ",
      }
    `);
    expect(
      planned([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], programmed([wanted])).text,
    ).toMatchInlineSnapshot(`
      "# programming rules
      flush chain inet ip-masq-agent postrouting
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 masquerade fully-random
      # removing foreign objects
      delete set inet ip-masq-agent handle 632934859587
      "
    `);
  });

  test("for other sources changes their set alone", () => {
    const start = programmed([scoped("nonMasqueradeCIDRs: [10.0.0.0/8]", ["10.244.0.0/16"])]);
    const wanted = scoped("nonMasqueradeCIDRs: [10.0.0.0/8]", ["10.245.0.0/16"]);
    expect(planned([wanted], start)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set from-ipv4 had 1 interval too many and 1 too few",
        ],
        "refusal": undefined,
        "text": "# changing sets
      delete element inet ip-masq-agent from-ipv4 { 10.244.0.0/16 }
      add element inet ip-masq-agent from-ipv4 { 10.245.0.0/16 }
      ",
      }
    `);
  });

  test("for several at once first masquerades less, and more only after the rules", () => {
    const start = programmed([
      scoped("nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]", ["10.244.0.0/16", "10.245.0.0/16"]),
    ]);
    const wanted = scoped(
      "nonMasqueradeCIDRs: [10.0.0.0/8, 12.0.0.0/8]",
      ["10.245.0.0/16", "10.250.0.0/16"],
      ["eth0"],
    );
    expect(planned([wanted], start)).toMatchInlineSnapshot(`
      {
        "drift": [
          "set keep-ipv4 had 1 interval too many and 2 too few",
          "set from-ipv4 had 1 interval too many and 2 too few",
          "rule 4 of chain postrouting was [meta nfproto ipv4 counter masquerade fully-random] instead of [meta nfproto ipv4 oifname "eth0" counter masquerade fully-random]",
          "rule 5 of chain postrouting was missing [meta nfproto ipv4 counter return]",
        ],
        "refusal": undefined,
        "text": "# changing sets
      delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0/7 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.0.0-12.255.255.255 }
      # changing sets
      delete element inet ip-masq-agent from-ipv4 { 10.244.0.0/15 }
      add element inet ip-masq-agent from-ipv4 { 10.245.0.0/16 }
      # programming rules
      flush chain inet ip-masq-agent postrouting
      add rule inet ip-masq-agent postrouting ip daddr @keep-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting ip saddr != @from-ipv4 counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting fib daddr type local counter packets 0 bytes 0 return
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 oifname "eth0" counter packets 0 bytes 0 masquerade fully-random
      add rule inet ip-masq-agent postrouting meta nfproto ipv4 counter packets 0 bytes 0 return
      # changing sets
      delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0-12.255.255.255 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8, 12.0.0.0/8 }
      # changing sets
      add element inet ip-masq-agent from-ipv4 { 10.250.0.0/16 }
      ",
      }
    `);
  });

  test("finds what a killed agent has left between", () => {
    const from = [scoped("nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]", ["10.244.0.0/16"])];
    const to = [scoped("nonMasqueradeCIDRs: [10.0.0.0/8, 12.0.0.0/8]", ["10.245.0.0/16"])];
    const { models } = replay(to, programmed(from), ENOUGH);
    expect(models).toHaveLength(5);
    for (const killed of models.slice(0, -1)) expect(planned(to, killed).drift).not.toEqual([]);
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

  test("if links and addresses make too many rules", () => {
    const interfaces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const pool = { addresses: Array.from({ length: 16 }, (_, i) => BigInt(i + 1)), by: "pod" as const };
    const ruleset = ipv4("", { toPorts: PORTS.slice(0, 1) });
    const wanted = {
      ...ruleset,
      scope: { sources: [], interfaces },
      masquerade: { ...ruleset.masquerade, pool },
    };
    expect(planned([wanted], undefined)).toMatchInlineSnapshot(`
      {
        "drift": [],
        "refusal": "IPv4: outputInterfaces (8 names), outputAddresses (16 on this node), --to-ports (1 range) would take 512 masquerade rules, and at most 128 are possible: shorten these lists",
        "text": "",
      }
    `);
    const fitting = { ...wanted, masquerade: { ...wanted.masquerade, toPorts: [] } };
    const plan = planTable([fitting], stateOf(undefined), 100_000);
    expect(plan.refusal).toBeUndefined();
    expect(tooManyRules(plan, [fitting], 100_000)).toMatchInlineSnapshot(
      `"outputInterfaces (8 names), outputAddresses (16 on this node) would take more rules than one nf_tables transaction can hold (169984 of 100000 bytes): shorten these lists"`,
    );
    expect(tooManyRules(plan, [fitting], ENOUGH)).toBeUndefined();
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
        for (const packet of SAMPLES) expect(verdictOf(models.at(-1), packet)).toBe(verdictOf(fresh, packet));
      }),
      { numRuns: times(15, 150) },
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
          expect(budget).toBeLessThanOrEqual(hasRules ? ENOUGH : most);
        }
      }),
      { numRuns: times(20, 100) },
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

  test("a flow never has another verdict than before or after, also where several keys change at once", () => {
    fc.assert(
      fc.property(rulesets, inPlace, maxBytes, (wanted, start, most) => {
        const { models } = replay(wanted, start, most);
        for (const packet of SAMPLES) {
          const verdicts = models.map((model) => verdictOf(model, packet) === "keep");
          const changes = verdicts.filter((verdict, i) => i > 0 && verdict !== verdicts[i - 1]);
          expect(changes.length).toBe(verdicts[0] === verdicts.at(-1) ? 0 : 1);
        }
      }),
      { numRuns: times(24, 1_000) },
    );
  });

  test("a table replaced in one transaction is what this would find", () => {
    const old = programmed([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")]);
    const replaced = programmed([ipv4("nonMasqueradeCIDRs: [10.0.0.0/8]")], undefined);
    const between = applyBatch(old, [{ op: "delete table", family: "inet", table: "ip-masq-agent" }]);
    const to = (destination: bigint) => (model: Model) =>
      verdictOf(model, { family: "ip", source: 1n, destination, link: "eth0" });
    expect([old, between, replaced].map(to(10n << 24n))).toEqual(["keep", "keep", "keep"]);
    expect([old, between, replaced].map(to(1n))).toEqual(["masquerade", "keep", "masquerade"]);
  });
});

test("no set is made, or filled for the first time, in the transaction of a rule that looks it up", () => {
  const makes = ({ op }: Operation) => op === "add set" || op === "add elements";
  fc.assert(
    fc.property(rulesets, tampered, maxBytes, (wanted, start, most) => {
      for (const { operations } of replay(wanted, start, most).steps) {
        const made = operations.filter(makes).flatMap((one) => ("set" in one ? one.set : []));
        const rules = operations.flatMap((one) => ("statements" in one ? one.statements : []));
        const used = rules.flatMap((one) => ("set" in one ? one.set : []));
        expect(used.filter((set) => made.includes(set))).toEqual([]);
      }
    }),
    { numRuns: times(20, 100) },
  );
});

import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { type ModelSet, stateOf, type Table } from "../../test/lab/memory/table.ts";
import { programmed } from "../../test/lab/memory/tables.ts";
import { renderDrift } from "../core/drift.ts";
import { renderScript } from "../netlink/text.ts";
import { keptIntervals, planSet } from "./sets.ts";

const ipv4 = (cidrs: string, more = "") =>
  rulesetOf("IPv4", `masqLinkLocal: true\nnonMasqueradeCIDRs: [${cidrs}]\n${more}`);

/** What becomes of one family's set, as text. */
function planned(cidrs: string, table: Table | undefined, maxBytes = 400_000) {
  const plan = planSet(ipv4(cidrs), "keep", stateOf(table), maxBytes);
  return {
    name: plan?.name,
    create: renderScript(plan?.create ?? []),
    changes: plan?.before.map(renderScript),
    drift: plan?.drift.map(renderDrift),
  };
}

const inForce = (cidrs: string): Table => programmed([ipv4(cidrs)]) as Table;

function withSet(table: Table, change: (set: ModelSet) => ModelSet): Table {
  return { ...table, sets: { "keep-ipv4": change(table.sets["keep-ipv4"] as ModelSet) } };
}

describe("kept destinations", () => {
  test("are the addresses whose longest prefix says so", () => {
    const ruleset = ipv4("10.0.0.0/8, 10.1.2.0/24", "masqueradeCIDRs: [10.1.0.0/16]");
    expect(keptIntervals(ruleset).map(({ first, last }) => [first.toString(16), last.toString(16)])).toEqual([
      ["a000000", "a00ffff"],
      ["a010200", "a0102ff"],
      ["a020000", "affffff"],
    ]);
  });

  test("are all of them with /0, as one interval", () => {
    expect(keptIntervals(ipv4("0.0.0.0/0"))).toEqual([{ first: 0n, last: 2n ** 32n - 1n }]);
    const all = rulesetOf("IPv6", 'nonMasqueradeCIDRs: ["::/0"]', { enableIPv6: true });
    expect(keptIntervals(all)).toEqual([{ first: 0n, last: 2n ** 128n - 1n }]);
  });
});

describe("the set", () => {
  test("is made and filled if it is missing", () => {
    expect(planned("10.0.0.0/8", undefined)).toMatchInlineSnapshot(`
      {
        "changes": [],
        "create": "add set inet ip-masq-agent keep-ipv4 { type ipv4_addr; flags interval; }
      add element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8 }
      ",
        "drift": [
          "set keep-ipv4 was missing [1 interval]",
        ],
        "name": "keep-ipv4",
      }
    `);
  });

  test("is left alone if it is right", () => {
    expect(planned("10.0.0.0/8", inForce("10.0.0.0/9, 10.128.0.0/9"))).toEqual({
      name: "keep-ipv4",
      create: "",
      changes: [],
      drift: [],
    });
  });

  test("is changed by the difference", () => {
    expect(planned("10.0.0.0/8, 12.0.0.0/8", inForce("10.0.0.0/8, 14.0.0.0/8"))).toMatchInlineSnapshot(`
      {
        "changes": [
          "delete element inet ip-masq-agent keep-ipv4 { 14.0.0.0/8 }
      add element inet ip-masq-agent keep-ipv4 { 12.0.0.0/8 }
      ",
        ],
        "create": "",
        "drift": [
          "set keep-ipv4 had 1 interval too many and 1 too few",
        ],
        "name": "keep-ipv4",
      }
    `);
  });

  test("is changed in as many transactions as are needed, each address in one of them", () => {
    const list = (...firsts: number[]) => firsts.map((first) => `10.0.${first}.0/24`).join(", ");
    const before = list(...Array.from({ length: 30 }, (_, i) => 4 * i));
    const after = list(...Array.from({ length: 30 }, (_, i) => 4 * i + 2));
    expect(planned(after, inForce(before), 5_200)).toMatchInlineSnapshot(`
      {
        "changes": [
          "delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0/24, 10.0.4.0/24, 10.0.8.0/24, 10.0.12.0/24, 10.0.16.0/24, 10.0.20.0/24, 10.0.24.0/24, 10.0.28.0/24 }
      delete element inet ip-masq-agent keep-ipv4 { 10.0.32.0/24, 10.0.36.0/24, 10.0.40.0/24, 10.0.44.0/24, 10.0.48.0/24, 10.0.52.0/24, 10.0.56.0/24, 10.0.60.0/24 }
      delete element inet ip-masq-agent keep-ipv4 { 10.0.64.0/24, 10.0.68.0/24, 10.0.72.0/24, 10.0.76.0/24, 10.0.80.0/24, 10.0.84.0/24, 10.0.88.0/24, 10.0.92.0/24 }
      delete element inet ip-masq-agent keep-ipv4 { 10.0.96.0/24, 10.0.100.0/24, 10.0.104.0/24, 10.0.108.0/24, 10.0.112.0/24, 10.0.116.0/24 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.2.0/24, 10.0.6.0/24, 10.0.10.0/24, 10.0.14.0/24, 10.0.18.0/24, 10.0.22.0/24, 10.0.26.0/24, 10.0.30.0/24 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.34.0/24, 10.0.38.0/24, 10.0.42.0/24, 10.0.46.0/24, 10.0.50.0/24, 10.0.54.0/24, 10.0.58.0/24, 10.0.62.0/24 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.66.0/24, 10.0.70.0/24, 10.0.74.0/24, 10.0.78.0/24, 10.0.82.0/24, 10.0.86.0/24, 10.0.90.0/24, 10.0.94.0/24 }
      add element inet ip-masq-agent keep-ipv4 { 10.0.98.0/24, 10.0.102.0/24, 10.0.106.0/24, 10.0.110.0/24, 10.0.114.0/24, 10.0.118.0/24 }
      ",
        ],
        "create": "",
        "drift": [
          "set keep-ipv4 had 30 intervals too many and 30 too few",
        ],
        "name": "keep-ipv4",
      }
    `);
  });

  test("is replaced by the other if changes of the same addresses do not fit", () => {
    const parts = Array.from({ length: 60 }, (_, i) => `10.0.${2 * i}.0/24`).join(", ");
    const { name, changes, drift } = planned(parts, inForce("10.0.0.0/8"), 3_500);
    expect({ name, changes, drift }).toMatchInlineSnapshot(`
      {
        "changes": [],
        "drift": [
          "set keep-ipv4 was [1 interval, not the same] instead of [60 intervals]",
        ],
        "name": "keep-ipv4-next",
      }
    `);
    expect(
      planned("10.0.0.0/8", programmed([ipv4(parts)], inForce("10.0.0.0/8"), 3_500) as Table, 3_500).name,
    ).toBe("keep-ipv4");
  });

  test.each<[string, Partial<ModelSet>]>([
    ["has other keys", { key: "type 13" }],
    ["has other flags", { flags: ["interval", "timeout"] }],
    ["is limited", { size: 100 }],
  ])("is replaced by the other if it %s", (_what, wrong) => {
    const table = withSet(inForce("10.0.0.0/8"), (set) => ({ ...set, ...wrong }));
    const { name, drift } = planned("10.0.0.0/8", table);
    expect([name, drift]).toEqual([
      "keep-ipv4-next",
      ["set keep-ipv4 was [a set of a different type] instead of [1 interval]"],
    ]);
  });

  test("that a killed agent has left under the other name is left alone, and one with a third name made", () => {
    const table = inForce("10.0.0.0/8");
    const half = { key: "ipv4_addr", flags: ["interval"], elements: [{ first: 1n, last: 2n }] };
    const sets = {
      "keep-ipv4": { ...(table.sets["keep-ipv4"] as ModelSet), size: 9 },
      "keep-ipv4-next": half,
    };
    expect(planned("10.0.0.0/8", { ...table, sets }).create).toMatchInlineSnapshot(`
      "add set inet ip-masq-agent keep-ipv4-2 { type ipv4_addr; flags interval; }
      add element inet ip-masq-agent keep-ipv4-2 { 10.0.0.0/8 }
      "
    `);
  });

  test("is the one that the rules look up, and without rules the existing one", () => {
    const next = programmed(
      [ipv4("10.0.0.0/8")],
      withSet(inForce("10.0.0.0/8"), (set) => ({ ...set, size: 9 })),
    );
    const table = next as Table;
    expect(planned("11.0.0.0/8", table).name).toBe("keep-ipv4-next");
    const half = { key: "ipv4_addr", flags: ["interval"], elements: [] };
    const both = { ...table, sets: { "keep-ipv4": half, ...table.sets } };
    expect(planned("11.0.0.0/8", both).name).toBe("keep-ipv4-next");
    expect(planned("11.0.0.0/8", both, 100).name).toBe("keep-ipv4-2");
    expect(planned("11.0.0.0/8", { ...table, chains: {} }).name).toBe("keep-ipv4-next");
    expect(planned("11.0.0.0/8", { ...table, chains: {}, sets: {} }).name).toBe("keep-ipv4");
  });
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { times } from "../../test/lab/length.ts";
import { additions } from "../../test/lab/memory/foreign-content.ts";
import { applyBatch, type Model, stateOf, verdictOf } from "../../test/lab/memory/table.ts";
import { interrupted, maxBytes, programmed, rulesets, SAMPLES } from "../../test/lab/memory/tables.ts";
import { NftablesError } from "../netlink/errors.ts";
import type { ObservedStatement, Operation } from "../netlink/operations.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { planTable } from "./plan.ts";
import { CHAIN } from "./sets.ts";
import { sweep } from "./sweep.ts";

/** A kernel that holds the table, and refuses some removals for reasons of its own. */
function kernelOf(start: Model, refuses: (handle: number) => boolean) {
  const kernel = { model: start, batches: 0 };
  const batch = async (operations: readonly Operation[]) => {
    kernel.batches++;
    for (const operation of operations)
      if (operation.op === "delete by handle" && refuses(operation.handle))
        throw new NftablesError({ code: "EBUSY", what: "it", why: "says the test", operation });
    kernel.model = applyBatch(kernel.model, operations);
  };
  const nftables: Pick<Nftables, "batch"> = { batch };
  return { kernel, nftables: nftables as Nftables };
}

const signal = new AbortController().signal;

test("whatever others add, our rules are correct after one plan, and removable objects are gone", async () => {
  await fc.assert(
    fc.asyncProperty(
      rulesets,
      interrupted,
      additions,
      maxBytes,
      fc.constantFrom(0, 0, 3, 20),
      async (wanted, before, add, most, stubborn) => {
        const start = before && add(before);
        const refuses = (handle: number) => stubborn > 0 && handle % stubborn === 0;
        const { kernel, nftables } = kernelOf(start, refuses);
        const staying = new Map<string, string>();
        const { steps } = planTable(wanted, stateOf(start), most);
        const own = steps.filter(({ mayFail }) => mayFail !== true);
        for (const { operations } of own) kernel.model = applyBatch(kernel.model, operations);
        const rules = () => kernel.model?.chains[CHAIN.chain];
        expect(rules()?.rules).toEqual(
          programmed(wanted)?.chains[CHAIN.chain]?.rules.map((rule) => rule.map(named(kernel.model))),
        );
        for (const { operations } of steps.filter((one) => !own.includes(one)))
          await sweep(nftables, operations, signal, staying);
        const next = planTable(wanted, stateOf(kernel.model), most, staying);
        expect([next.drift, next.steps, next.refusal]).toEqual([[], [], undefined]);
        expect(next.remains.length).toBe(staying.size);
        if (stubborn > 0) return;
        expect(staying).toEqual(new Map());
        const fresh = programmed(wanted);
        for (const packet of SAMPLES) expect(verdictOf(kernel.model, packet)).toBe(verdictOf(fresh, packet));
      },
    ),
    { numRuns: times(20, 100) },
  );
});

/** A set may have another name where others have taken its first. */
function named(model: Model) {
  const sets = Object.keys(model?.sets ?? {});
  return <T extends { readonly kind: string }>(statement: T): T => {
    if (!("set" in statement)) return statement;
    const looked = model?.chains[CHAIN.chain]?.rules.flat() ?? [];
    const isSame = (one: ObservedStatement) =>
      one.kind === statement.kind && "set" in one && one.set.startsWith(String(statement.set));
    const same = looked.find(isSame);
    return same !== undefined && "set" in same && sets.includes(same.set)
      ? { ...statement, set: same.set }
      : statement;
  };
}

test("it notes rejected operations with the reason, and removes the rest", async () => {
  const { kernel, nftables } = kernelOf(
    {
      chains: {},
      sets: {},
      objects: [
        { kind: "object", type: 1, name: "a" },
        { kind: "object", type: 1, name: "b" },
      ],
    },
    (handle) => handle === stateOf(kernel.model).objects[0]?.handle,
  );
  const operations = stateOf(kernel.model).objects.map(
    ({ kind, handle, type }): Operation => ({
      op: "delete by handle",
      family: "inet",
      table: "ip-masq-agent",
      kind,
      handle,
      ...(type && { type }),
    }),
  );
  const staying = new Map<string, string>();
  expect(await sweep(nftables, operations, signal, staying)).toBe(1);
  expect(kernel.model?.objects?.map(({ name }) => name)).toEqual(["a"]);
  expect([...staying.values()]).toEqual(["EBUSY: says the test"]);
});

test("an object that is already gone is not a remnant, and a long list stops after some rejections", async () => {
  const { kernel, nftables } = kernelOf({ chains: {}, sets: {} }, (handle) => handle > 1_000);
  const chains = (from: number) =>
    Array.from({ length: 100 }, (_, i): Operation => {
      return {
        op: "delete by handle",
        family: "inet",
        table: "ip-masq-agent",
        kind: "chain",
        handle: from + i,
      };
    });
  const staying = new Map<string, string>();
  expect(await sweep(nftables, chains(1), signal, staying)).toBe(0);
  expect(staying.size).toBe(0);
  const before = kernel.batches;
  expect(await sweep(nftables, chains(2_000), signal, staying)).toBe(0);
  expect(staying.size).toBe(100);
  expect(kernel.batches - before).toBeLessThan(20);
});

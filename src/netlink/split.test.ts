import fc from "fast-check";
import { expect, test } from "vitest";
import { operation } from "../../test/lab/nftables-arbitrary.ts";
import { encodeBatch } from "./encode.ts";
import type { ElementInterval, Operation } from "./operations.ts";
import { splitBatches } from "./split.ts";

/** The beginning and the end of a batch. */
const MARKERS_BYTES = 2 * 20;

test("batches keep the order, lose nothing and fit", () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 8 }),
      fc.integer({ min: 4_500, max: 20_000 }),
      (operations, room) => {
        const batches = splitBatches(operations, room);
        for (const batch of batches) {
          const { bytes, budget } = encodeBatch(batch, 1);
          expect(bytes.length).toBeLessThanOrEqual(budget + MARKERS_BYTES);
          expect(budget).toBeLessThanOrEqual(room);
        }
        expect(joined(batches.flat())).toEqual(joined(operations));
      },
    ),
    { numRuns: 200 },
  );
});

test("a long list fills batches to the brim", () => {
  const elements = Array.from({ length: 100_000 }, (_, index): ElementInterval => {
    return { first: BigInt(index) * 8n, last: BigInt(index) * 8n };
  });
  const names = { family: "inet", table: "t", set: "s" } as const;
  const operations: Operation[] = [
    { op: "add set", ...names, key: "ipv4_addr" },
    { op: "add elements", ...names, key: "ipv4_addr", elements },
    { op: "delete set", ...names },
  ];
  const batches = splitBatches(operations, 212_960);
  expect(batches.length).toBe(19);
  const budgets = batches.map((batch) => encodeBatch(batch, 1).budget);
  expect(Math.max(...budgets)).toBeLessThanOrEqual(212_960);
  expect(Math.min(...budgets.slice(0, -1))).toBeGreaterThan(212_960 - 20_000);
  expect(joined(batches.flat())).toEqual(operations);
});

test("what fits stays as it is", () => {
  const operations: Operation[] = [
    { op: "add table", family: "ip", table: "a" },
    {
      op: "add elements",
      family: "ip",
      table: "a",
      set: "s",
      key: "ipv4_addr",
      elements: [{ first: 1n, last: 2n }],
    },
  ];
  expect(splitBatches(operations, 212_960)).toEqual([operations]);
  expect(splitBatches([], 212_960)).toEqual([]);
});

test("an operation that cannot be cut makes a batch of its own, even if it is too big", () => {
  const operations: Operation[] = ["a", "b"].map((table) => ({ op: "delete table", family: "ip", table }));
  expect(splitBatches(operations, 50)).toEqual(operations.map((each) => [each]));
});

/** Lists that follow each other joined again, and empty ones left out. */
function joined(operations: readonly Operation[]): Operation[] {
  const result: Operation[] = [];
  for (const operation of operations) {
    const previous = result.at(-1);
    if (!("elements" in operation)) result.push(operation);
    else if (operation.elements.length === 0) continue;
    else if (previous !== undefined && "elements" in previous && isSameList(previous, operation))
      result[result.length - 1] = { ...previous, elements: [...previous.elements, ...operation.elements] };
    else result.push(operation);
  }
  return result;
}

function isSameList(a: Operation, b: Operation): boolean {
  const name = (each: Operation) => JSON.stringify({ ...each, elements: undefined });
  return name(a) === name(b);
}

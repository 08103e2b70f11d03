import fc from "fast-check";
import { expect, test } from "vitest";
import { operation } from "../../test/lab/nftables-arbitrary.ts";
import { readOperations } from "./decode-operation.ts";
import { encodeBatch } from "./encode.ts";
import type { Interval, Operation } from "./operations.ts";

test("what is encoded decodes to itself, for every kind of operation", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 5 }), (operations) => {
      for (const { op } of operations) seen.add(op);
      const told = operations.map((one) => (one.op === "rename chain" ? { ...one, chain: "" } : one));
      expect(readOperations(encodeBatch(operations, 1).bytes)).toEqual(told);
    }),
    { numRuns: 300 },
  );
  expect(seen.size).toBe(20);
});

test.each(["ipv4_addr", "ipv6_addr"] as const)("a long list of %s comes in several messages", (key) => {
  const elements = Array.from({ length: 5_000 }, (_, index): Interval => {
    return { first: BigInt(index) * 16n, last: BigInt(index) * 16n + 7n };
  });
  const operation: Operation = { op: "add elements", family: "inet", table: "t", set: "s", key, elements };
  const { bytes, owners, lastSequence } = encodeBatch([operation], 7);
  const parts = readOperations(bytes);
  expect(parts.length).toBeGreaterThan(3);
  expect(parts.flatMap((part) => ("elements" in part ? part.elements : []))).toEqual(elements);
  expect(owners).toEqual(parts.map(() => 0));
  expect(lastSequence).toBe(7 + parts.length);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { bytesWithin, messageCost } from "./budget.ts";

test("a message counts its length, or its answer if that is longer", () => {
  expect([0, 100, 1280, 1281, 32_256].map(messageCost)).toEqual([1280, 1280, 1280, 1281, 32_256]);
});

test("what is allowed within a cost is the longest that counts no more", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1280, max: 1e6 }), (cost) => {
      const bytes = bytesWithin(cost);
      expect(messageCost(bytes)).toBeLessThanOrEqual(cost);
      expect(messageCost(bytes + 1)).toBeGreaterThan(cost);
    }),
  );
  expect(bytesWithin(1279)).toBe(-1);
});

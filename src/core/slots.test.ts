import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { constantCidr, parseAddress } from "./cidr.ts";
import { addressOf, choosePool, MAX_POOL, slots } from "./slots.ts";

const address = (text: string) => parseAddress(text)?.value as bigint;
const pool = (length: number) => Array.from({ length }, (_, i) => BigInt(i + 1));

test.each([
  [1, 0, 1],
  [2, 1, 2],
  [3, 4, 16],
  [4, 2, 4],
  [5, 4, 16],
  [8, 3, 8],
  [15, 4, 16],
  [16, 4, 16],
])("%d addresses: %d low bits choose one of %d slots, which they take in turn", (length, bits, count) => {
  const addresses = pool(length);
  const found = slots({ addresses });
  expect([found.bits, found.addresses.length]).toEqual([bits, count]);
  expect(found.addresses).toEqual(Array.from({ length: count }, (_, i) => addresses[i % length]));
});

test("every address has pods, and none more than twice as many as another", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_POOL }), (length) => {
      const found = slots({ addresses: pool(length) }).addresses;
      const counts = pool(length).map((one) => found.filter((other) => other === one).length);
      expect(Math.min(...counts)).toBeGreaterThan(0);
      expect(Math.max(...counts)).toBeLessThanOrEqual(2 * Math.min(...counts));
    }),
  );
});

test("the low bits of a pod's address choose", () => {
  const two = { addresses: pool(2), by: "pod" } as const;
  expect([addressOf(two, address("10.244.0.4")), addressOf(two, address("10.244.0.5"))]).toEqual([1n, 2n]);
  expect(addressOf({ addresses: pool(3), by: "pod" }, address("fd00::13"))).toBe(1n);
  expect(addressOf({ ...two, by: "flow" }, 4n)).toBeUndefined();
  expect(addressOf({ addresses: pool(1), by: "flow" }, 4n)).toBe(1n);
});

describe("the pool of a node", () => {
  const blocks = [constantCidr("192.0.2.0/24"), constantCidr("198.51.100.7/32")];

  test.each([
    ["in numeric order, each once", ["198.51.100.7", "192.0.2.9", "192.0.2.10", "192.0.2.9"], 3],
    ["of this node's own only", ["10.0.0.1", "192.0.2.1"], 1],
  ])("%s", (_name, own, count) => {
    const found = choosePool(blocks, "pod", own.map(address))?.addresses ?? [];
    expect(found).toHaveLength(count);
    expect(found).toEqual([...found].sort((a, b) => (a < b ? -1 : 1)));
  });

  test("none", () => {
    expect(choosePool(blocks, "pod", [address("10.0.0.1")])).toBeUndefined();
  });

  test("the lowest 16 of more", () => {
    const own = Array.from({ length: 20 }, (_, i) => address("192.0.2.100") - BigInt(i));
    expect(choosePool(blocks, "flow", own)).toEqual({
      addresses: own.slice(4).reverse(),
      by: "flow",
    });
  });
});

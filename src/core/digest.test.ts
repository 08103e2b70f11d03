import fc from "fast-check";
import { expect, test } from "vitest";
import { digest } from "./digest.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("the same text has the same digest, in every release: fleets compare them", () => {
  expect(digest(bytes(""))).toMatchInlineSnapshot(`"68853b6a3912cca3"`);
  expect(digest(bytes("nonMasqueradeCIDRs: [10.0.0.0/8]\n"))).toMatchInlineSnapshot(`"503a352fb4067652"`);
  expect(digest()).toMatchInlineSnapshot(`"cbf29ce484222325"`);
});

test("where one part ends counts", () => {
  expect(digest(bytes("ab"), bytes("c"))).not.toBe(digest(bytes("a"), bytes("bc")));
  expect(digest(bytes(""), bytes(""))).not.toBe(digest(bytes("")));
});

test("no two of many texts have the same", () => {
  const texts = fc.uniqueArray(fc.uint8Array({ maxLength: 40 }), {
    minLength: 1_000,
    maxLength: 1_000,
    selector: (one) => one.join(),
  });
  fc.assert(
    fc.property(texts, (all) => {
      expect(new Set(all.map((one) => digest(one))).size).toBe(all.length);
    }),
    { numRuns: 5 },
  );
});

test("one bit makes a difference in about half of the digest's", () => {
  const text = bytes("nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]");
  const value = (one: Uint8Array) => BigInt(`0x${digest(one)}`);
  const differences = Array.from(text, (_, i) => {
    const other = text.slice();
    other[i] = (other[i] ?? 0) ^ 1;
    return (value(text) ^ value(other)).toString(2).replaceAll("0", "").length;
  });
  expect(Math.min(...differences)).toBeGreaterThan(4);
});

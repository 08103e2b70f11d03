import fc from "fast-check";
import { expect, test } from "vitest";
import { printable, printableLine } from "./printable.ts";

test("what steers a terminal is shown instead; lines, tabs and our colours stay", () => {
  expect(printable("a\tb\n\u001b[31mred\u001b[39m é 漢")).toBe("a\tb\n\u001b[31mred\u001b[39m é 漢");
  expect(printable("\u001b]0;title\u0007\u009b2J\r\u007f\u001b[2J\u001b[1;1H")).toBe(
    "\\x1b]0;title\\x07\\u009b2J\\x0d\\u007f\\x1b[2J\\x1b[1;1H",
  );
});

test("marks that turn the reading direction, or cannot be seen, are shown instead", () => {
  expect(printable("allow \u202egro.live\u2066\u200b\u2028\ufeff")).toBe(
    "allow \\u202egro.live\\u2066\\u200b\\u2028\\ufeff",
  );
});

test("JSON stays JSON, and means the same", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (texts) => {
      const shown = printable(JSON.stringify(texts));
      expect(JSON.parse(shown)).toEqual(texts);
      expect(shown).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
    }),
  );
});

test("a line stays one", () => {
  expect(printableLine("x\nE1125 forged\u001b[31m\n")).toBe("x\\nE1125 forged\\x1b[31m\n");
  expect(printableLine("x")).toBe("x");
  expect(printableLine("")).toBe("");
});

import { expect, test } from "vitest";
import { printable, printableLine } from "./printable.ts";

test("what steers a terminal is shown instead; lines, tabs and our colours stay", () => {
  expect(printable("a\tb\n\u001b[31mred\u001b[39m é 漢")).toBe("a\tb\n\u001b[31mred\u001b[39m é 漢");
  expect(printable("\u001b]0;title\u0007\u009b2J\r\u007f\u001b[2J\u001b[1;1H")).toBe(
    "\\x1b]0;title\\x07\\x9b2J\\x0d\\x7f\\x1b[2J\\x1b[1;1H",
  );
});

test("a line stays one", () => {
  expect(printableLine("x\nE1125 forged\u001b[31m\n")).toBe("x\\nE1125 forged\\x1b[31m\n");
  expect(printableLine("x")).toBe("x");
  expect(printableLine("")).toBe("");
});

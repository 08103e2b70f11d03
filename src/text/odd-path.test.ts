import fc from "fast-check";
import { expect, test } from "vitest";
import { oddPathHint } from "./odd-path.ts";

test.each([
  ["/etc/config/x ", "the path begins or ends with a blank: did you mean /etc/config/x?"],
  ["/etc/config/x\n", "the path begins or ends with a line break: did you mean /etc/config/x?"],
  ["x\r", "the path begins or ends with a line break: did you mean x?"],
  ['"x"', "the path begins or ends with a quote: did you mean x?"],
  ["x'", "the path begins or ends with a quote: did you mean x?"],
  ["\u201cx\u201d", "the path begins or ends with a quote: did you mean x?"],
  ["x,", "the path begins or ends with a comma: did you mean x?"],
  ["\u00a0x", "the path begins or ends with a blank: did you mean x?"],
  ["~/x", "the shell expands ~ only at the beginning of a word: write the whole path"],
  ["file:///etc/x", "this is a URL: did you mean /etc/x?"],
  ["https://example.org/x", "this is a URL: save the file, and name that"],
  ["/etc/config/ip-masq agent", undefined],
  ["/tmp/a,b", undefined],
  ["", undefined],
  [" ", undefined],
])("%j", (path, hint) => {
  expect(oddPathHint(path)).toBe(hint);
});

test("the path that it suggests is not odd itself", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "/", " ", "\n", '"', "'", ",", ":", "~") }),
      (path) => {
        const [, plain] = /did you mean ([\s\S]*)\?$/.exec(oddPathHint(path) ?? "") ?? [];
        if (plain === undefined) return;
        expect(path).toContain(plain);
        expect(plain).toBe(plain.trim());
      },
    ),
  );
});

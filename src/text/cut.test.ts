import fc from "fast-check";
import { expect, test } from "vitest";
import { inspectConfig } from "../core/config.ts";
import { renderProblem } from "../core/problem.ts";
import { COMPLAINT_CHARACTERS, cut, VALUE_CHARACTERS } from "./cut.ts";

test("a short text stays, a long one says how much is missing, and no character is halved", () => {
  expect(cut("abc", 3)).toBe("abc");
  expect(cut("abcd", 3)).toBe("abc... (1 character more)");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(20), (text, most) => {
      const shown = cut(text, most).replace(/\.\.\. \(\d+ characters? more\)$/, "");
      expect(text.startsWith(shown)).toBe(true);
      expect(shown).not.toMatch(/\p{Cs}/u);
    }),
  );
});

const LONG = "x".repeat(100_000);

test.each([
  `nonMasqueradeCIDRs: [${LONG}]`,
  `nonMasqueradeCIDRs: [10.0.0.1/8${"0".repeat(100_000)}]`,
  `nonMasqueradeCIDRs: ["fd00::${"0".repeat(100_000)}/8"]`,
  `resyncInterval: ${LONG}`,
  `resyncInterval: 1${LONG}`,
  `cidrLimit: ${LONG}`,
  `cidrLimit: 1${"0".repeat(100_000)}`,
  `masqLinkLocal: ${LONG}`,
  `${LONG}: 1`,
  `{"${LONG}": 1}`,
  `*${LONG}`,
  `a: &${LONG} [*${LONG}]`,
  `!!int ${LONG}`,
  `{"a": ${LONG}}`,
  LONG,
])("what is wrong with a long value is one short line (%#)", (text) => {
  const options = { noMasqAllReservedRanges: false, enableIPv6: false, setsAbove: 0 };
  const files = [{ path: "f", bytes: new TextEncoder().encode(text) }];
  const { problems: errors, warnings } = inspectConfig({ kind: "file", files }, options);
  const problems = [...errors, ...warnings];
  expect(problems).not.toEqual([]);
  for (const problem of problems) {
    expect(renderProblem(problem).length).toBeLessThan(COMPLAINT_CHARACTERS + 2 * VALUE_CHARACTERS + 100);
    expect((problem.text ?? "").length).toBeLessThan(VALUE_CHARACTERS + 50);
  }
});

test("a key with line feeds makes one line", () => {
  const options = { noMasqAllReservedRanges: false, enableIPv6: false, setsAbove: 0 };
  const files = [{ path: "f", bytes: new TextEncoder().encode('"a\\n::error::b\\u001b[2J": 1\n') }];
  const { warnings } = inspectConfig({ kind: "file", files }, options);
  expect(warnings.map(renderProblem)).toEqual(["f:1:1: a\\n::error::b\\x1b[2J: unknown key, ignored"]);
});

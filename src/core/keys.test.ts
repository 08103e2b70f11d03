/** What holds for each row of the table of keys, those to come included. */
import { describe, expect, test } from "vitest";
import { configOf, decodeText, problemLines } from "../../test/lab/config.ts";
import { hintFor } from "../validate/hints.ts";
import { decodeConfig } from "./config.ts";
import { CONFIG_KEYS, knownKey, ROWS } from "./keys.ts";

const OPTIONS = { noMasqAllReservedRanges: false, enableIPv6: true };
const rows = [...ROWS];

/** A file that gives one key, as JSON. */
const text = (name: string, value: unknown) => JSON.stringify({ [name]: value });

describe.each(rows)("%s", (name, { kind, initial, meaning, hint }) => {
  test.each([false, true])("its default is what a file with it says, reserved ranges %s", (reserved) => {
    const options = { ...OPTIONS, noMasqAllReservedRanges: reserved };
    const { nonMasqueradeDefaults: _, ...said } = configOf(
      text(name, kind.written(initial(options))),
      options,
    );
    const { nonMasqueradeDefaults: __, ...silent } = configOf("", options);
    expect(said).toEqual(silent);
  });

  test("a value of another type is a problem at its place, with the row's hint", () => {
    const decoded = decodeText(text(name, { a: 1 }));
    const problems = decoded.ok ? [] : decoded.problems;
    expect(problems).toMatchObject([{ code: "type", key: name, line: 1, column: name.length + 5 }]);
    expect(problems.map(hintFor)).toEqual([hint]);
  });

  test("null is passed over with a warning exactly where the kind says so", () => {
    const decoded = decodeText(text(name, null));
    const lines = problemLines(decoded.ok ? decoded.value.warnings : decoded.problems);
    expect(lines.some((line) => line.includes("as if the key were missing"))).toBe(kind.skipsNull);
  });

  test("files that give the same united are as one that gives it", () => {
    const bytes = new TextEncoder().encode(text(name, kind.written(initial(OPTIONS))));
    const files = ["a", "b"].map((path) => ({ path, bytes }));
    const several = decodeConfig({ kind: "directory", files }, OPTIONS);
    const one = decodeConfig({ kind: "file", files: files.slice(0, 1) }, OPTIONS);
    expect(several.ok && one.ok && several.value.config).toEqual(one.ok && one.value.config);
  });

  test("it is known in any case, and described for sentences and tables", () => {
    expect(knownKey(name.toUpperCase())).toBe(name);
    expect(meaning).not.toMatch(/^[A-Z]|\.$|\n/);
  });
});

test("two names are never the same to Go", () => {
  expect(new Set(CONFIG_KEYS.map((name) => name.toLowerCase())).size).toBe(CONFIG_KEYS.length);
});

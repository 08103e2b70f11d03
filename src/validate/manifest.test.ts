import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDocument } from "../core/document.ts";
import { locator } from "../yaml/positions.ts";
import { readManifest } from "./manifest.ts";
import { positionMap } from "./manifest-position.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Each configuration's key and first line, with the place that leads back to it. */
function read(text: string): unknown {
  const manifest = readManifest(bytes(text), "f");
  const configs = manifest?.configs.map(({ key, bytes, positionOf }) => {
    const { line, column } = positionOf({ line: 2, column: 3 });
    return `${key} ${JSON.stringify(new TextDecoder().decode(bytes))} 2:3 is ${line}:${column}`;
  });
  return manifest && { configs, problems: manifest.problems };
}

const HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ip-masq-agent\n";

describe("manifests", () => {
  test.each<[string, string]>([
    ["no manifest", "nonMasqueradeCIDRs: [] # apiVersion kind\n"],
    ["binary", "\ud800apiVersion kind"],
    ["a block", `${HEAD}data:\n  config: |\n    a: b\n    c: d\n`],
    [
      "a block with empty lines and blanks",
      `${HEAD}data:\n  config: |-\n\n      a: b\n       \n      c: d\n  x: y\n`,
    ],
    ["a block in CRLF", `${HEAD}data:\n  config: |\n    a: b\n    c: d\n`.replaceAll("\n", "\r\n")],
    ["a folded block, which has no places", `${HEAD}data:\n  config: >\n    a: b\n    c: d\n`],
    ["quoted", `${HEAD}data: {config: "a: b\\nc: d", ip-masq-x: 'a: b', other: z}\n`],
    ["JSON", JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", data: { config: "é: \u0001\nc: d" } })],
    [
      "several documents",
      `a: b\n---\n${HEAD}data:\n  config: |\n    a: b\n    c: d\n--- # the end\nkind: Pod\n`,
    ],
    [
      "a list",
      `apiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n  data:\n    ip-masq-agent: |\n      a: b\n      c: d\n`,
    ],
    [
      "a ConfigMap of somebody else beside ours",
      `${HEAD}data: {config: "a"}\n---\nkind: ConfigMap\nmetadata: {name: x}\ndata: {config: "b"}\n`,
    ],
    ["a ConfigMap of somebody else alone", "apiVersion: v1\nkind: ConfigMap\ndata: {config: b}\n"],
    ["no text", `${HEAD}data:\n  config:\n    nonMasqueradeCIDRs: []\n`],
    ["nothing for us", `${HEAD}data: {x: y}\n`],
    ["no data", `${HEAD}data: []\n`],
    ["a document that is none", `${HEAD}---\n\n  a: [\n`],
  ])("%s", (name, text) => {
    expect({ [name]: read(text) }).toMatchSnapshot();
  });
});

const CONFIG = "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n";
const indent = (text: string, by: number) => text.replace(/^(?=.)/gm, " ".repeat(by));

test.each<[string, string]>([
  ["keys at the top level", `apiVersion: v1\nkind: ConfigMap\n${CONFIG}`],
  ["keys at the top level of another kind", `apiVersion: v1\nkind: IpMasqAgent\n${CONFIG}`],
  ["a spec", `apiVersion: v1\nkind: IpMasqAgent\nspec:\n${indent(CONFIG, 2)}`],
  ["keys in metadata", `${HEAD}${indent(CONFIG, 2)}`],
  ["keys in data", `${HEAD}data:\n${indent(CONFIG, 2)}`],
  ["keys as deep as config:", `${HEAD}data:\n  config: |\n${indent(CONFIG, 2)}`],
  ["keys as deep as data:", `${HEAD}data:\n  config: |\n${CONFIG}`],
  ["data as a text", `${HEAD}data: |\n  config: |\n${indent(CONFIG, 4)}`],
  ["data as the text", `${HEAD}data: |\n${indent(CONFIG, 2)}`],
  ["data as a list", `${HEAD}data:\n- config: |\n${indent(CONFIG, 4)}`],
  ["data as a number", `${HEAD}data: 5\n`],
  ["a text in braces", `${HEAD}data: {config: |\n${indent(CONFIG, 2)}}\n`],
  ["two keys on a line", `${HEAD}data: config: |\n${indent(CONFIG, 4)}`],
  ["no blank before |", `${HEAD}data:\n  config:|\n${indent(CONFIG, 4)}`],
  ["text after |", `${HEAD}data:\n  config: | ${CONFIG}`],
  ["lines after >", `${HEAD}data:\n  config: >\n${indent(CONFIG, 4)}`],
  ["lines in quotes", `${HEAD}data:\n  config: "\n${indent(CONFIG, 4)}"`],
  ["stringData", `${HEAD}stringData:\n  config: |\n${indent(CONFIG, 4)}`],
  ["a Secret", `apiVersion: v1\nkind: Secret\nstringData:\n  config: |\n${indent(CONFIG, 4)}`],
  ["no --- between two", `${HEAD}${HEAD}data:\n  config: |\n${indent(CONFIG, 4)}`],
  ["a list's item", `apiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n${indent(CONFIG, 2)}`],
])("a broken wrapping has a problem that says what to do: %s", (name, text) => {
  const manifest = readManifest(bytes(text), "f");
  const inner = (manifest?.configs ?? []).flatMap(({ bytes, hint }) => {
    const parsed = parseDocument(bytes, "f");
    return parsed.ok
      ? []
      : parsed.problems.map((one) => ({ ...one, ...(hint === undefined ? {} : { hint }) }));
  });
  // A file that is not a manifest at all is read as the configuration itself.
  const parsed = manifest === undefined ? parseDocument(bytes(text), "f") : undefined;
  const outer = manifest?.problems ?? (parsed?.ok === false ? parsed.problems : []);
  const [first, ...others] = [...outer, ...inner];
  expect({
    [name]: `${first?.line}: ${first?.key ?? ""}: ${first?.message} -> ${first?.hint}`,
  }).toMatchSnapshot();
  expect(first?.hint).toBeDefined();
  expect(others).toEqual([]);
});

test("a key of the configuration outside of a text is never accepted in silence", () => {
  const spots = fc.uniqueArray(fc.constantFrom("", "metadata", "data", "binaryData", "spec", "x"), {
    maxLength: 2,
  });
  fc.assert(
    fc.property(spots, fc.boolean(), fc.boolean(), (spots, isOwn, hasText) => {
      const object: Record<string, Record<string, unknown>> = {
        metadata: isOwn ? { name: "ip-masq-agent" } : {},
        data: hasText ? { config: "" } : {},
      };
      for (const spot of spots) {
        if (spot === "") Object.assign(object, { masqLinkLocal: true });
        else object[spot] = { ...object[spot], masqLinkLocal: true };
      }
      const text = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", ...object });
      const manifest = readManifest(bytes(text), "f");
      expect(manifest?.problems.length === 0).toBe(spots.length === 0 && hasText);
    }),
  );
});

/** Text in which places are easily confused: indentation, quotes, escapes, characters of two units. */
const text = fc.string({
  unit: fc.constantFrom("a", " ", "\n", '"', "'", "\\", ":", "é", "\u{1f600}"),
  maxLength: 20,
});

test("a place leads to the same character, or to the value's beginning", () => {
  const styles = fc.constantFrom("json", "block", "single");
  fc.assert(
    fc.property(text, styles, fc.nat(20), (value, style, index) => {
      const written = {
        json: JSON.stringify({ pad: 1, config: value }),
        block: `pad: 1\nconfig: |2\n${value.replace(/^/gm, "  ")}\n`,
        single: `config: '${value.replaceAll("'", "''")}'\n`,
      }[style];
      const parsed = parseDocument(bytes(written), "f");
      if (!parsed.ok || parsed.value.root.kind !== "object") return;
      const node = parsed.value.root.members.find(({ key }) => key === "config")?.value;
      if (node?.kind !== "string" || index >= node.value.length) return;
      // The second half of a pair is no place.
      if (/[\uDC00-\uDFFF]/.test(node.value[index] ?? "")) return;
      const position = positionMap(written, node)(locator(node.value)(index));
      const lines = written.split("\n").map((line) => Array.from(line));
      const character = lines[position.line - 1]?.[position.column - 1];
      const start = locator(written)(node.at);
      const expected = String.fromCodePoint(node.value.codePointAt(index) ?? 0);
      if (position.line === start.line && position.column === start.column) return;
      if (expected === "\n") return;
      expect([expected, "\\"]).toContain(character);
    }),
    { numRuns: 2_000 },
  );
});

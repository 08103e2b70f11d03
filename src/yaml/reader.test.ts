import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compact, outcome } from "../../test/oracle/outcome.ts";
import type { Node } from "./node.ts";
import { locator, positionAt } from "./positions.ts";
import { readDocument } from "./reader.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function read(text: string) {
  const parsed = readDocument(encode(text));
  if (!parsed.ok) throw new Error(parsed.failure.message);
  return parsed.document;
}

describe("positions", () => {
  test.each([
    ["a", 0, "1:1"],
    ["a\nb", 2, "2:1"],
    ["a\r\nb\rc", 3, "2:1"],
    ["a\r\nb\rc", 5, "3:1"],
    // NEL and the like break lines for YAML, but for no editor.
    ["a\u0085\u2028b", 3, "1:4"],
    ["\u{1F600}b", 2, "1:2"],
    ["a\n", 2, "2:1"],
  ])("%j at %d", (text, at, expected) => {
    const { line, column } = positionAt(text, at);
    expect(`${line}:${column}`).toBe(expected);
    expect(locator(text)(at)).toEqual({ line, column });
  });

  test("every node and member is at its first character", () => {
    const placed = (text: string) => {
      const { root, text: decoded } = read(text);
      const list: string[] = [];
      const visit = (node: Node) => {
        list.push(decoded.slice(node.at, node.at + 2));
        if (node.kind === "array") node.items.forEach(visit);
        if (node.kind !== "object") return;
        for (const member of node.members) {
          list.push(`${decoded.slice(member.at, member.at + 2)}:`);
          visit(member.value);
        }
      };
      visit(root);
      return list.join(" ");
    };
    expect(placed('{"aa": [11, "bb"], "cc": null}')).toBe('{" "a: [1 11 "b "c: nu');
    expect(placed("\uFEFFaa:\n- 11\n- 'bb'\n- !!str cc\ndd: {ee: ff}\n")).toBe(
      "aa aa: -  11 'b !! dd: {e ee: ff",
    );
    // An alias and a merge show where their text is.
    expect(placed("aa: &x {bb: cc}\ndd: *x\nee: {<<: *x}\n")).toBe(
      "aa aa: &x bb: cc dd: &x bb: cc ee: {< bb: cc",
    );
  });
});

describe("JSON or YAML", () => {
  test.each([
    ["{}", "json"],
    ["\n\t {}", "json"],
    ["\uFEFF{}", "yaml"],
    ["--- {}", "yaml"],
    ["# c\n{}", "yaml"],
    ["[]", "yaml"],
    ["", "yaml"],
  ])("%j", (text, format) => expect(read(text).format).toBe(format));
});

describe("properties", () => {
  // JSON.parse would take the key __proto__ for something else.
  const key = fc.string({ unit: "binary" }).filter((text) => text !== "__proto__");
  const value = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, tie("scalar"), tie("list"), tie("map")),
    list: fc.array(tie("value"), { maxLength: 4 }),
    map: fc.dictionary(key, tie("value"), { maxKeys: 4 }),
    scalar: fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      fc.double({ noDefaultInfinity: true, noNaN: true }),
      fc.string({ unit: "binary" }),
    ),
  })).value;
  // YAML refuses raw control characters and knows \u as JSON does, but no surrogates.
  const quote = (text: string) =>
    JSON.stringify(text).replace(
      /[^\x20-\x7e]/gu,
      (character) => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`,
    );

  function flow(item: unknown): string {
    if (typeof item === "string") return quote(item);
    if (Array.isArray(item)) return `[${item.map(flow).join(", ")}]`;
    if (typeof item !== "object" || item === null) return JSON.stringify(item);
    return `{${Object.entries(item)
      .map(([name, child]) => `? ${quote(name)} : ${flow(child)}`)
      .join(", ")}}`;
  }

  function block(item: unknown, indent: string): string {
    if (Array.isArray(item) && item.length > 0) {
      return item.map((child) => `\n${indent}- ${block(child, `${indent}  `)}`).join("");
    }
    if (typeof item === "object" && item !== null && !Array.isArray(item) && Object.keys(item).length > 0) {
      return Object.entries(item)
        .map(([name, child]) => `\n${indent}? ${quote(name)}\n${indent}: ${block(child, `${indent}  `)}`)
        .join("");
    }
    return flow(item);
  }

  /** The tree with its members sorted, as YAML's are, and floats in one spelling. */
  function normal(node: Node): string {
    if (node.kind === "number") return String(Number(node.literal));
    if (node.kind === "array") return `[${node.items.map(normal).join(",")}]`;
    if (node.kind !== "object") return compact(node);
    const members = node.members.map((member) => `${JSON.stringify(member.key)}:${normal(member.value)}`);
    return `{${members.sort().join(",")}}`;
  }

  test("JSON and YAML renderings of a value are read alike", () => {
    fc.assert(
      fc.property(value, (item) => {
        const json = read(`{"v":${JSON.stringify(item)}}`);
        expect(json.format).toBe("json");
        const expected = normal(json.root);
        expect(normal(read(`v: ${flow(item)}\n`).root)).toBe(expected);
        expect(normal(read(`v: ${block(item, " ")}\n`).root)).toBe(expected);
      }),
      { numRuns: 150 },
    );
  });

  test("no bytes make it throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(outcome(bytes)).not.toBe("");
      }),
      { numRuns: 300 },
    );
  });

  test("no nesting makes it throw", () => {
    for (const piece of [
      "[",
      "{",
      "{a: ",
      "- ",
      "? ",
      "- ? ",
      ": ",
      "[? ",
      "&a ",
      "*a ",
      "!a ",
      '{"a":',
      "a:\n- ",
    ]) {
      expect(() => readDocument(encode(piece.repeat(10_500)))).not.toThrow();
    }
  });
});

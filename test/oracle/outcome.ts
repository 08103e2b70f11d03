/** What comes of a document, as one line of text: for tables of examples. */
import type { Node } from "../../src/yaml/node.ts";
import { positionAt } from "../../src/yaml/positions.ts";
import { readDocument } from "../../src/yaml/reader.ts";

/** JSON with its numbers and duplicate members as they are. Only for trees that JavaScript's stack can take. */
export function compact(node: Node): string {
  switch (node.kind) {
    case "null":
      return "null";
    case "boolean":
      return String(node.value);
    case "number":
      return node.literal;
    case "string":
      return JSON.stringify(node.value);
    case "array":
      return `[${node.items.map(compact).join(",")}]`;
    case "object":
      return `{${node.members.map(({ key, value }) => `${JSON.stringify(key)}:${compact(value)}`).join(",")}}`;
  }
}

/** The compact tree, or `line:column message` behind an exclamation mark, with the code if it is not `syntax`. */
export function outcome(input: string | Uint8Array): string {
  const read = readDocument(typeof input === "string" ? new TextEncoder().encode(input) : input);
  if (read.ok) return compact(read.document.root);
  const { code, message, at } = read.failure;
  const { line, column } = positionAt(read.text, at);
  return `! ${line}:${column} ${code === "syntax" ? "" : `${code} `}${message}`;
}

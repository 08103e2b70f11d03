/** YAML files that operators are given, as the agent's own reader sees them: YAML as Kubernetes reads it. */
import { readFileSync } from "node:fs";
import { parseDocument } from "../../src/core/document.ts";
import { renderProblem } from "../../src/core/problem.ts";
import type { Node } from "../../src/yaml/node.ts";

export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain };

/** The first document of a file. */
export function readManifest(path: string): Plain {
  return parseManifest(readFileSync(path), path);
}

/** The first document of a text. */
export function parseManifest(bytes: Uint8Array, path: string): Plain {
  const parsed = parseDocument(bytes, path);
  if (!parsed.ok) throw new Error(parsed.problems.map(renderProblem).join("\n"));
  return plain(parsed.value.root);
}

function plain(node: Node): Plain {
  switch (node.kind) {
    case "null":
      return null;
    case "number":
      return Number(node.literal);
    case "array":
      return node.items.map(plain);
    case "object":
      return Object.fromEntries(node.members.map(({ key, value }) => [key, plain(value)]));
    default:
      return node.value;
  }
}

/** The value at a path such as `containers.0.image`. */
export function at(value: Plain, path: string): Plain {
  const found = path
    .split(".")
    .reduce<Plain | undefined>((parent, key) => (parent as Record<string, Plain> | null)?.[key], value);
  if (found === undefined) throw new Error(`there is no ${path}`);
  return found;
}

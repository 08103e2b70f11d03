/** What YAML can say and JSON can't, looked for in the finished tree: what was replaced by then did no harm. */

import type { YamlFailure } from "./cursor.ts";
import type { Node } from "./node.ts";

/** encoding/json's limit, which the JSON has to pass when it is read. */
export const MAX_JSON_DEPTH = 10_000;

/** Looks through the finished tree for what JSON can't say, in the order in which Go would notice. */
export function inspect(root: Node, badKeys: ReadonlyMap<Node, YamlFailure>): YamlFailure | undefined {
  return find(root, (node) => badKeys.get(node)) ?? find(root, infinity) ?? find(root, tooDeep);
}

function infinity(node: Node): YamlFailure | undefined {
  if (node.kind !== "number" || !/^[+-]?(?:Inf|NaN)$/.test(node.literal)) return undefined;
  return { code: "syntax", message: `json: unsupported value: ${node.literal}`, at: node.at };
}

function tooDeep(node: Node, depth: number): YamlFailure | undefined {
  if (depth <= MAX_JSON_DEPTH || (node.kind !== "array" && node.kind !== "object")) return undefined;
  const bracket = node.kind === "array" ? "[" : "{";
  return { code: "syntax", message: `invalid character '${bracket}' exceeded max depth`, at: node.at };
}

/** The first thing wrong, from the first node to the last; `depth` of the root is 1. */
function find(
  root: Node,
  problemOf: (node: Node, depth: number) => YamlFailure | undefined,
): YamlFailure | undefined {
  const pending: { readonly node: Node; readonly depth: number }[] = [{ node: root, depth: 1 }];
  for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
    const { node, depth } = top;
    const problem = problemOf(node, depth);
    if (problem !== undefined) return problem;
    const children =
      node.kind === "array"
        ? node.items
        : node.kind === "object"
          ? node.members.map(({ value }) => value)
          : [];
    for (let i = children.length - 1; i >= 0; i--) {
      const child = children[i];
      if (child !== undefined) pending.push({ node: child, depth: depth + 1 });
    }
  }
  return undefined;
}

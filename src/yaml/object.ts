/** Go maps with keys of several types -> JSON objects with sorted strings, as sigs.k8s.io/yaml and encoding/json do. */
import type { Member, Node } from "./node.ts";
import type { Scalar } from "./resolve.ts";

/** A member of an incomplete object. */
interface Entry extends Member {
  /** Whether a merge brought it, so that a written key may replace it. */
  readonly merged: boolean;
}

/** An incomplete Go map, by key. */
export type Entries = Map<string, Entry>;

/** The key as sigs.k8s.io/yaml writes it, but floats as JavaScript does; undefined if JSON cannot have it. */
export function keyText(scalar: Scalar): string | undefined {
  if (typeof scalar === "string") return scalar;
  switch (scalar.type) {
    case "bool":
    case "float":
      return String(scalar.value);
    case "int":
      return scalar.literal;
    default:
      return undefined;
  }
}

/** The JSON object of all entries. */
export function makeObject(at: number, entries: Entries): Node {
  return { kind: "object", at, members: [...entries.values()].sort((a, b) => compareKeys(a.key, b.key)) };
}

/** Go sorts strings by their UTF-8 bytes, which is by code points; JavaScript would by UTF-16 units. */
function compareKeys(a: string, b: string): number {
  let same = 0;
  while (same < a.length && a.charCodeAt(same) === b.charCodeAt(same)) same++;
  return (a.codePointAt(same) ?? -1) - (b.codePointAt(same) ?? -1);
}

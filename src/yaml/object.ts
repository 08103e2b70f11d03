/** Go maps with keys of any type -> JSON objects with sorted strings, as sigs.k8s.io/yaml and encoding/json do. */

import { replaceLoneBytes, sortByBytes } from "./bytes.ts";
import type { YamlFailure } from "./cursor.ts";
import type { Member, Node } from "./node.ts";
import { floatKey } from "./number.ts";
import type { Scalar } from "./resolve.ts";

/** A member under way; its key may have bytes that are no UTF-8, and be one that JSON can't have: undefined. */
interface Entry {
  readonly key: string | undefined;
  readonly at: number;
  readonly value: Node;
  /** Whether a merge brought it, so that a key that is written may replace it. */
  readonly merged: boolean;
}

/** A Go map under way, by keys as `identify` tells them apart. */
export type Entries = Map<string, Entry>;

export interface Key extends Omit<Entry, "value" | "merged"> {
  readonly id: string;
}

/** Marks the ids of keys that aren't strings: a lone high surrogate, which no string has. */
const TYPED = "\uD800";

/** Go's keys of different types are different, `1` and `"1"` too; sigs.k8s.io/yaml then makes strings of them. */
export function identify(scalar: Scalar, at: number): Key {
  if (typeof scalar === "string") return { id: scalar, key: scalar, at };
  switch (scalar.type) {
    case "timestamp":
      return { id: scalar.value, key: scalar.value, at };
    case "bool":
      return { id: `${TYPED}bool ${scalar.value}`, key: String(scalar.value), at };
    case "int":
      return { id: `${TYPED}int ${scalar.literal}`, key: scalar.literal, at };
    case "float":
      // 0 and -0 are one key. NaN would be a new one each time; here the last one stays.
      return {
        id: `${TYPED}float ${scalar.value === 0 ? 0 : scalar.value}`,
        key: floatKey(scalar.value),
        at,
      };
    case "uint":
      return { id: `${UINT}${scalar.literal}`, key: undefined, at };
    default:
      return { id: `${TYPED}null`, key: undefined, at };
  }
}

const UINT = `${TYPED}uint `;

/** The JSON object of finished entries, and what is wrong if JSON can't have one of its keys. */
export function makeObject(
  at: number,
  entries: Entries,
): { readonly object: Node; readonly bad?: YamlFailure } {
  const members: Member[] = [];
  let typed = false;
  let bad: YamlFailure | undefined;
  for (const [id, entry] of entries) {
    typed ||= id.startsWith(TYPED);
    if (hasKey(entry)) members.push(entry);
    else bad ??= { code: "syntax", message: unsupportedKey(id), at: entry.at };
  }
  const object: Node = { kind: "object", at, members: sortMembers(typed ? uniqueMembers(members) : members) };
  return bad === undefined ? { object } : { object, bad };
}

function hasKey(entry: Entry): entry is Entry & Member {
  return entry.key !== undefined;
}

/** `1` and `"1"` are now one key; Go keeps whichever its random order brings last, this the last written. */
function uniqueMembers(members: readonly Member[]): Member[] {
  return [...new Map(members.map((member) => [member.key, member])).values()];
}

function sortMembers(members: Member[]): Member[] {
  if (members.length < 2 && !members.some(({ key }) => isOdd(key))) return members;
  const sorted = sortByBytes(members, ({ key }) => key);
  // Keys that differ in bytes alone look the same once those are U+FFFD; Go's decoder sees them all the same.
  return sorted.map((member) =>
    isOdd(member.key) ? { ...member, key: replaceLoneBytes(member.key) } : member,
  );
}

function isOdd(key: string): boolean {
  return replaceLoneBytes(key) !== key;
}

function unsupportedKey(id: string): string {
  const [type, value] = id.startsWith(UINT) ? ["uint64", id.slice(UINT.length)] : ["%!s(<nil>)", "<nil>"];
  return `Unsupported map key of type: ${type}, key: ${value}`;
}

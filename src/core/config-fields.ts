/**
 * One document -> the value that it gives each key: encoding/json's Unmarshal into the Go program's struct, exactly,
 * wherever a file can show a difference. Key names match without regard to case (and to two Unicode look-alikes), and a
 * repeated key is applied again. The kinds of values (key-kinds.ts, key-lists.ts) know the rest.
 */

import type { Member, Node } from "../yaml/node.ts";
import { article, type Reading, type Reporting } from "./key-kinds.ts";
import { CONFIG_KEYS, type GivenOf, KEYS, type Key, type KeyName, knownKey } from "./keys.ts";
import { DEFAULTS, type Place, type Source } from "./place.ts";

/** The values that one file gives. */
export interface Fields {
  readonly file: Source;
  readonly given: { readonly [Name in KeyName]?: GivenOf<Name> };
}

/** The value of each key, from all files together or by default. */
export type Settings = { readonly [Name in KeyName]: GivenOf<Name> };

/** Applies the members of a document in their order, as Go's decoder does; skips other keys. */
export function decodeFields(root: Node, reading: Reading): Fields {
  const { file } = reading;
  const given: Record<string, Place> = {};
  const applied = new Map<string, Member>();
  for (const member of membersOf(root, reading)) {
    const key = knownKey(member.key);
    if (key === undefined) continue;
    const { kind, initial }: Key = KEYS[key];
    if (member.value.kind === "null" && kind.skipsNull) {
      warnOfNull(key, member, reading);
      continue;
    }
    warnOfReplaced(applied.get(key), member, reading);
    applied.set(key, member);
    const start = reading.kind === "file" ? kind.given(initial(reading.options), { file, key }) : undefined;
    const found = kind.decode(key, member, given[key] ?? start, reading);
    if (found !== undefined) given[key] = found;
  }
  return { file, given };
}

function membersOf(root: Node, { file, report }: Reading): readonly Member[] {
  if (root.kind === "object") return root.members;
  const text = root.kind === "string" ? { text: root.value } : {};
  if (root.kind !== "null")
    report(
      "type",
      { file, at: root.at, ...text },
      `the document must be a map of keys, not ${article(root.kind)}`,
    );
  return [];
}

function warnOfNull(key: string, { at }: Member, { file, warn }: Reading): void {
  warn("empty", { file, at, key }, "has no value: ignored, as if the key were missing");
}

function warnOfReplaced(earlier: Member | undefined, { key }: Member, { file, warn }: Reading): void {
  if (earlier === undefined) return;
  const twin =
    earlier.key === key ? "the same key appears again below" : `${key} is the same key but for case`;
  warn("ignored", { file, at: earlier.at, key: earlier.key }, `is ignored: ${twin}, and replaces it`);
}

/** Unites the values of all files, and takes defaults for keys that no file has. */
export function uniteFields(fields: readonly Fields[], reporting: Reporting): Settings {
  const rows = CONFIG_KEYS.map((key) => {
    const { kind, initial, unite }: Key = KEYS[key];
    const given = fields.flatMap((file) => file.given[key] ?? []) as readonly Place[];
    if (given.length > 0) return [key, unite(given, reporting)];
    // A problem with a default is reported for a file, if there is one.
    const file = fields[0]?.file ?? DEFAULTS;
    return [key, kind.given(initial(reporting.options), { file, key })];
  });
  return Object.fromEntries(rows) as Settings;
}

/**
 * The parts of a file that Go's decoder skips in silence: unknown keys, keys that another one replaces, and text after
 * the first document. Nothing here changes the result.
 */

import type { Member, Node } from "../yaml/node.ts";
import type { Document } from "../yaml/reader.ts";
import { CONFIG_KEYS, knownKey } from "./keys.ts";
import type { Report, Source } from "./place.ts";

/** The beginning of a line that looks like one of a configuration, in YAML or JSON. */
const CONFIG_LINE = new RegExp(`^[ \\t{]*["']?(?:${CONFIG_KEYS.join("|")})["']?\\s*:`, "im");

/** Warns of everything in a file that the decoder does not read. */
export function warnOfSwallowed(document: Document, file: Source, warn: Report): void {
  const { root, swallowed } = document;
  for (const { key, at, byMerge } of swallowed.replaced) {
    const by = byMerge ? "a merge (<<) below has it, too," : "the same key appears again below,";
    if (knownKey(key) !== undefined) warn("ignored", { file, at, key }, `is ignored: ${by} and replaces it`);
  }
  if (root.kind === "object") warnOfUnknown(root.members, document, file, warn);
  warnOfUnread(document, file, warn);
}

function warnOfUnknown(
  members: readonly Member[],
  { swallowed }: Document,
  file: Source,
  warn: Report,
): void {
  if (isManifest(members)) {
    const at = members.reduce((first, one) => Math.min(first, one.at), Number.POSITIVE_INFINITY);
    const isAny = members.some(({ key }) => knownKey(key) !== undefined);
    const read = isAny ? "only the keys of a configuration at its top level are read" : "none of it is read";
    warn("manifest", { file, at }, `this is a manifest, not its content: ${read}`);
    return;
  }
  for (const { key, at, value } of members) {
    if (knownKey(key) !== undefined) continue;
    // A key that only holds an anchor for others: so one writes a thing once in YAML.
    if (isSomewhere(value, (node) => swallowed.aliased.has(node.at))) continue;
    if (isSomewhere(value, holdsConfig))
      warn("nested", { file, at, key }, "unknown key, ignored with the configuration in it");
    else warn("unknown-key", { file, at, key }, "unknown key, ignored");
  }
}

/** Keys of Kubernetes objects; a map with two of them is one. */
const MANIFEST_KEYS = ["apiVersion", "kind", "metadata", "data", "binaryData", "spec", "items"];

/** Whether these are the keys of a Kubernetes object. */
export function isManifest(members: readonly Member[]): boolean {
  return members.filter(({ key }) => MANIFEST_KEYS.includes(key)).length > 1;
}

/** Whether a value has, or is, a configuration one level too deep, or more. */
export function holdsConfig(node: Node): boolean {
  if (node.kind === "string") return CONFIG_LINE.test(node.value);
  return node.kind === "object" && node.members.some(({ key }) => knownKey(key) !== undefined);
}

/** Whether a node or one below it is such a node; without recursion, since 10,000 may be nested. */
function isSomewhere(root: Node, isSuch: (node: Node) => boolean): boolean {
  const pending = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (isSuch(node)) return true;
    if (node.kind === "array") for (const item of node.items) pending.push(item);
    if (node.kind === "object") for (const { value } of node.members) pending.push(value);
  }
  return false;
}

function warnOfUnread({ root, swallowed }: Document, file: Source, warn: Report): void {
  const { unread } = swallowed;
  if (unread === undefined) return;
  const isDeeper = (file.locate?.(unread.at).column ?? 1) < (file.locate?.(root.at).column ?? 1);
  const why = unread.isMarked
    ? `only the first document of a file is read${root.kind === "null" ? ", which is empty here" : ""}`
    : isDeeper
      ? "this line is indented less than the first key, which ends the document"
      : "the document ends before this line";
  warn("ignored", { file, at: unread.at }, `${why}: everything from here on is ignored`);
}

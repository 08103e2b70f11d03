/**
 * Configurations inside Kubernetes manifests: the texts of a ConfigMap that an agent would see as files, and the place
 * of each of their lines in the manifest.
 */

import { isManifest } from "../core/config-swallowed.ts";
import { parseDocument } from "../core/document.ts";
import type { Problem } from "../core/problem.ts";
import type { Member, Node } from "../yaml/node.ts";
import type { Position } from "../yaml/positions.ts";
import { positionMap } from "./manifest-position.ts";
import {
  ADVICE,
  CONFIG_KEY,
  faultsOf,
  findMisplaced,
  member,
  membersOf,
  type Part,
  shift,
  textOf,
} from "./misplaced.ts";

/** A configuration's text in a manifest. */
export interface EmbeddedConfig {
  /** Its place in the ConfigMap, such as `data.config`. */
  readonly key: string;
  readonly bytes: Uint8Array;
  /** The place in the manifest of a place in the text; if that cannot be computed, the start of the text. */
  readonly positionOf: (inner: Position) => Position;
  /** Advice where the manifest joins the lines of the text into one. */
  readonly hint?: string;
}

/** The configurations of a manifest, and problems. */
export interface Manifest {
  readonly configs: readonly EmbeddedConfig[];
  readonly problems: readonly Problem[];
}

const OWN_NAME = /ip-masq/;

/** The content of a manifest: documents with `apiVersion` and `kind`. Undefined if the file is not a manifest. */
export function readManifest(bytes: Uint8Array, path: string): Manifest | undefined {
  const text = decode(bytes);
  // Most files are not manifests, and this tells without parsing them.
  if (text === undefined || !text.includes("apiVersion") || !text.includes("kind")) return undefined;
  const parts: Part[] = [];
  const problems: Problem[] = [];
  for (const { source, line } of splitDocuments(text)) {
    const parsed = parseDocument(new TextEncoder().encode(source), path);
    if (parsed.ok) parts.push({ document: parsed.value, line });
    else
      problems.push(...parsed.problems.map((problem) => ({ ...problem, line: (problem.line ?? 1) + line })));
  }
  if (!parts.some(({ document: { root } }) => isManifest(membersOf(root)))) return undefined;
  const maps = parts.flatMap((part) => configMaps(part.document.root).map((map) => ({ part, map })));
  const own = maps.filter(({ map }) => OWN_NAME.test(textOf(member(member(map, "metadata"), "name")) ?? ""));
  const ours = own.length > 0 ? own : maps;
  const found = ours.flatMap(({ part, map }) => embedded(part, map, path));
  const configs = found.flatMap((one) => ("bytes" in one ? one : []));
  problems.push(...found.flatMap((one) => ("bytes" in one ? [] : one)));
  if (configs.length > 0) problems.push(...ours.flatMap(({ part, map }) => faultsOf(part, map, path)));
  else if (problems.length === 0) problems.push(...lookElsewhere(parts, path));
  return { configs, problems };
}

/** Reasons why a manifest has no configuration in the right place. */
function lookElsewhere(parts: readonly Part[], path: string): readonly Problem[] {
  const misplaced = parts.flatMap((part) =>
    objectsOf(part.document.root).flatMap((object) => findMisplaced(part, object, path)),
  );
  if (misplaced.length > 0) return misplaced;
  const message = "a manifest without a configuration: no ConfigMap in it has a key config or ip-masq*";
  return [{ code: "manifest", path, message, hint: ADVICE }];
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** YAML's `---` begins a document wherever it is in the first column, even inside quotes. */
function splitDocuments(text: string): { readonly source: string; readonly line: number }[] {
  let line = 0;
  return text.split(/^(?=---(?:\s|$))/m).map((source) => {
    const part = { source, line };
    line += source.split("\n").length - 1;
    return part;
  });
}

/** The objects of a document, which may be a List of them. */
function objectsOf(root: Node): Node[] {
  const items = textOf(member(root, "kind"))?.endsWith("List") ? member(root, "items") : undefined;
  return items?.kind === "array" ? items.items.flatMap(objectsOf) : [root];
}

function configMaps(root: Node): Node[] {
  return objectsOf(root).filter((object) => textOf(member(object, "kind")) === "ConfigMap");
}

function embedded(part: Part, map: Node, path: string): (EmbeddedConfig | Problem)[] {
  return ["data", "binaryData"].flatMap((field) =>
    membersOf(member(map, field))
      .filter(({ key }) => CONFIG_KEY.test(key))
      .sort((a, b) => a.at - b.at)
      .map((one) => embeddedIn(part, field, one, path)),
  );
}

function embeddedIn(
  { document, line }: Part,
  field: string,
  { key, value }: Member,
  path: string,
): EmbeddedConfig | Problem {
  const place = positionMap(document.text, value);
  const positionOf = (inner: Position) => shift(place(inner), line);
  const start = positionOf({ line: 1, column: 1 });
  const bytes = value.kind === "string" ? bytesOf(value.value, field) : undefined;
  // Places in an encoded text lead nowhere.
  if (bytes !== undefined)
    return {
      key: `${field}.${key}`,
      bytes,
      positionOf: field === "data" ? positionOf : () => start,
      ...joined(document.text, value),
    };
  const message =
    field === "data"
      ? `must be text: put "|" after "${key}:", so that the lines below are one`
      : "must be text in base64";
  return { code: "type", path, ...start, key: `${field}.${key}`, message };
}

/** YAML joins the lines of a text after `>` and of one in quotes. */
function joined(text: string, { at, ...value }: Node): { readonly hint?: string } {
  const mark = text[at] ?? "";
  const isLong = value.kind === "string" && text.slice(at, at + value.value.length + 2).includes("\n");
  if (!isLong || !/[>"']/.test(mark)) return {};
  return { hint: `lines ${mark === ">" ? 'after ">"' : "in quotes"} are joined into one: write "|" instead` };
}

/** The file that the kubelet writes; undefined for text that is not base64 where it has to be. */
function bytesOf(text: string, field: string): Uint8Array | undefined {
  if (field === "data") return new TextEncoder().encode(text);
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

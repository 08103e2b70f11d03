/**
 * Configurations inside Kubernetes manifests: the texts of a ConfigMap that an agent would see as files, and the place
 * of each of their lines in the manifest.
 */

import { holdsConfig, isManifest } from "../core/config-swallowed.ts";
import { parseDocument } from "../core/document.ts";
import { knownKey } from "../core/keys.ts";
import type { Problem } from "../core/problem.ts";
import type { Member, Node } from "../yaml/node.ts";
import { locator, type Position } from "../yaml/positions.ts";
import type { Document } from "../yaml/reader.ts";
import { positionMap } from "./manifest-position.ts";

/** A configuration's text in a manifest. */
export interface EmbeddedConfig {
  /** Its place in the ConfigMap, such as `data.config`. */
  readonly key: string;
  readonly bytes: Uint8Array;
  /** The place in the manifest of a place in the text; if that cannot be computed, the start of the text. */
  readonly positionOf: (inner: Position) => Position;
}

/** The configurations of a manifest, and problems. */
export interface Manifest {
  readonly configs: readonly EmbeddedConfig[];
  readonly problems: readonly Problem[];
}

/** The keys that the agent's own manifest, and a directory given as `--config`, read. */
const CONFIG_KEY = /^(?:config|ip-masq.*)$/;
const OWN_NAME = /ip-masq/;

const ADVICE = 'write "config: |" below data:, and the keys of the configuration below that';

/** A document of a manifest's file, and the number of lines before it. */
interface Part {
  readonly document: Document;
  readonly line: number;
}

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
  const found = (own.length > 0 ? own : maps).flatMap(({ part, map }) => embedded(part, map, path));
  const configs = found.flatMap((one) => ("bytes" in one ? one : []));
  problems.push(...found.flatMap((one) => ("bytes" in one ? [] : one)));
  if (configs.length === 0 && problems.length === 0) {
    const misplaced = maps.flatMap(({ part, map }) => findMisplaced(part, map, path));
    const message = "a manifest without a configuration: no ConfigMap in it has a key config or ip-masq*";
    problems.push(
      ...(misplaced.length > 0 ? misplaced : [{ code: "manifest", path, message, hint: ADVICE } as const]),
    );
  }
  return { configs, problems };
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

/** The ConfigMaps of a document, which may be a List of them. */
function configMaps(root: Node): Node[] {
  const kind = textOf(member(root, "kind"));
  if (kind === "ConfigMap") return [root];
  const items = kind?.endsWith("List") ? member(root, "items") : undefined;
  return items?.kind === "array" ? items.items.flatMap(configMaps) : [];
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
    return { key: `${field}.${key}`, bytes, positionOf: field === "data" ? positionOf : () => start };
  const message =
    field === "data"
      ? `must be text: put "|" after "${key}:", so that the lines below are one`
      : "must be text in base64";
  return { code: "type", path, ...start, key: `${field}.${key}`, message };
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

/** Configurations in a ConfigMap where no agent sees them. */
function findMisplaced({ document, line }: Part, map: Node, path: string): Problem[] {
  const locate = locator(document.text);
  const found = (key: string, at: number, message: string, hint: string): Problem => {
    const place = { path, ...shift(locate(at), line), key };
    return { code: "manifest", ...place, message, hint };
  };
  const outer = membersOf(map).filter(({ key, value }) => CONFIG_KEY.test(key) && holdsConfig(value));
  const inner = membersOf(member(map, "data"));
  return [
    ...outer.map(({ key, at }) =>
      found(key, at, "this is beside data:, not below it", "indent it and its text"),
    ),
    ...inner.flatMap(({ key, at, value }) => {
      if (knownKey(key) !== undefined)
        return found(`data.${key}`, at, "this belongs in the text of a configuration", ADVICE);
      const message = "a configuration under a key that the agent's manifest does not mount";
      return holdsConfig(value) ? found(`data.${key}`, at, message, 'name the key "config"') : [];
    }),
  ];
}

function membersOf(node: Node | undefined): readonly Member[] {
  return node?.kind === "object" ? node.members : [];
}

function shift({ line, column }: Position, lines: number): Position {
  return { line: line + lines, column };
}

function member(node: Node | undefined, key: string): Node | undefined {
  if (node?.kind !== "object") return undefined;
  return node.members.findLast((one: Member) => one.key === key)?.value;
}

function textOf(node: Node | undefined): string | undefined {
  return node?.kind === "string" ? node.value : undefined;
}

/**
 * Configurations inside Kubernetes manifests: the texts of a ConfigMap that the agent would be shown as files, and
 * where each of their lines stands in the manifest.
 */
import { type Document, type Position, parseDocument } from "./document.ts";
import { positionMap } from "./manifest-position.ts";
import type { Member, Node } from "./node.ts";
import type { Problem } from "./problem.ts";

/** A configuration's text in a manifest. */
export interface EmbeddedConfig {
  /** Its place in the ConfigMap, such as `data.config`. */
  readonly key: string;
  readonly bytes: Uint8Array;
  /** Where a place of the text stands in the manifest; where that cannot be told, the start of the text. */
  readonly positionOf: (inner: Position) => Position;
}

/** What a manifest has for the agent. */
export interface Manifest {
  readonly configs: readonly EmbeddedConfig[];
  readonly problems: readonly Problem[];
}

/** The keys under which the agent's own manifest, and a directory given as `--config`, look for configurations. */
const CONFIG_KEY = /^(?:config|ip-masq.*)$/;
const OWN_NAME = /ip-masq/;

/** A document of a manifest's file, and how many lines stand before it. */
interface Part {
  readonly document: Document;
  readonly line: number;
}

/** What a file holds if it is a manifest: documents with `apiVersion` and `kind`. Undefined if it is none. */
export function readManifest(bytes: Uint8Array, path: string): Manifest | undefined {
  const text = decode(bytes);
  // Most files are no manifests, and need not be parsed to tell.
  if (text === undefined || !text.includes("apiVersion") || !text.includes("kind")) return undefined;
  const parts: Part[] = [];
  const problems: Problem[] = [];
  for (const { source, line } of splitDocuments(text)) {
    const parsed = parseDocument(new TextEncoder().encode(source), path);
    if (parsed.ok) parts.push({ document: parsed.value, line });
    else
      problems.push(...parsed.problems.map((problem) => ({ ...problem, line: (problem.line ?? 1) + line })));
  }
  if (!parts.some(({ document: { root } }) => isResource(root))) return undefined;
  const maps = parts.flatMap((part) => configMaps(part.document.root).map((map) => ({ part, map })));
  const own = maps.filter(({ map }) => OWN_NAME.test(textOf(member(member(map, "metadata"), "name")) ?? ""));
  const found = (own.length > 0 ? own : maps).flatMap(({ part, map }) => embedded(part, map, path));
  const configs = found.flatMap((one) => ("bytes" in one ? one : []));
  problems.push(...found.flatMap((one) => ("bytes" in one ? [] : one)));
  if (configs.length === 0 && problems.length === 0)
    problems.push({
      code: "manifest",
      path,
      message: "a manifest without a configuration: no ConfigMap in it has a key config or ip-masq*",
    });
  return { configs, problems };
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** YAML's `---` begins a document wherever it stands in the first column, even inside quotes. */
function splitDocuments(text: string): { readonly source: string; readonly line: number }[] {
  let line = 0;
  return text.split(/^(?=---(?:\s|$))/m).map((source) => {
    const part = { source, line };
    line += source.split("\n").length - 1;
    return part;
  });
}

function isResource(root: Node): boolean {
  return textOf(member(root, "apiVersion")) !== undefined && textOf(member(root, "kind")) !== undefined;
}

/** The ConfigMaps of a document, which may be a List of them. */
function configMaps(root: Node): Node[] {
  const kind = textOf(member(root, "kind"));
  if (kind === "ConfigMap") return [root];
  const items = kind?.endsWith("List") ? member(root, "items") : undefined;
  return items?.kind === "array" ? items.items.flatMap(configMaps) : [];
}

function embedded({ document, line }: Part, map: Node, path: string): (EmbeddedConfig | Problem)[] {
  const data = member(map, "data");
  const members = data?.kind === "object" ? data.members : [];
  return members
    .filter(({ key }) => CONFIG_KEY.test(key))
    .sort((a, b) => a.at - b.at)
    .map(({ key, value }) => {
      const place = positionMap(document.text, value);
      const positionOf = (inner: Position) => shift(place(inner), line);
      if (value.kind === "string")
        return { key: `data.${key}`, bytes: new TextEncoder().encode(value.value), positionOf };
      const message = `must be text: put "|" behind "${key}:", so that the lines below are one`;
      return { code: "type", path, ...positionOf({ line: 1, column: 1 }), key: `data.${key}`, message };
    });
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

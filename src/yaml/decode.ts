/**
 * The YAML tree -> the JSON tree that sigs.k8s.io/yaml makes from the result of gopkg.in/yaml.v2: aliases followed,
 * merges applied, keys turned into strings and sorted.
 *
 * yaml.v2 counts its steps to stop documents that multiply through aliases, so the steps here are the same, in the same
 * order. They are on a stack of frames, as JavaScript's own stack is too short.
 */

import type { Failure, Member, Node } from "./node.ts";
import { jsonNumber } from "./number.ts";
import { type Entries, keyText, makeObject } from "./object.ts";
import type { YamlAlias, YamlCollection, YamlNode, YamlScalar } from "./parse-node.ts";
import { resolveScalar } from "./resolve.ts";

/** The JSON tree, with the replaced keys of its root; or the first mistake. */
export type YamlDecoded =
  | { readonly ok: true; readonly root: Node; readonly replaced: readonly ReplacedKey[] }
  | { readonly ok: false; readonly failure: Failure };

/** A key of the outermost mapping that appears again below, or that a merge replaces. */
export interface ReplacedKey {
  readonly key: string;
  readonly at: number;
  readonly byMerge: boolean;
}

/** encoding/json's limit. */
const MAX_DEPTH = 10_000;
const MERGE_TAG = "tag:yaml.org,2002:merge";

type Frame =
  | { readonly kind: "sequence"; readonly node: YamlCollection; readonly items: Node[]; next: number }
  | {
      readonly kind: "mapping";
      readonly node: YamlCollection;
      readonly entries: Entries;
      /** Whether the entries are those of a mapping further out, this one being merged into it. */
      readonly merged: boolean;
      next: number;
      key: Pick<Member, "key" | "at"> | undefined;
    }
  | { readonly kind: "merge list"; readonly node: YamlCollection; readonly entries: Entries; next: number }
  | { readonly kind: "alias"; readonly node: YamlAlias };

/** The result of a step: a value, or entries merged elsewhere; nothing yet if it opened a frame, or failed. */
type Decoded = Node | "merged" | undefined;

interface Decoder {
  readonly frames: Frame[];
  readonly active: Set<YamlAlias>;
  steps: number;
  aliasSteps: number;
  aliasDepth: number;
  readonly replaced: ReplacedKey[];
  failure: Failure | undefined;
}

/** The JSON tree of a YAML tree. A value from an alias or a merge has the place where it is written, at the anchor. */
export function decodeYaml(root: YamlNode): YamlDecoded {
  const decoder: Decoder = {
    frames: [],
    active: new Set(),
    steps: 1, // the document
    aliasSteps: 0,
    aliasDepth: 0,
    replaced: [],
    failure: undefined,
  };
  let decoded = enter(decoder, root);
  while (decoder.failure === undefined) {
    const frame = decoder.frames.at(-1);
    if (frame === undefined) break;
    decoded = decoded === undefined ? advance(decoder, frame) : deliver(decoder, frame, decoded);
  }
  if (decoder.failure !== undefined) return { ok: false, failure: decoder.failure };
  if (typeof decoded !== "object") throw new Error("the decoder lost its value");
  return { ok: true, root: decoded, replaced: decoder.replaced };
}

function fail(decoder: Decoder, message: string, at: number): undefined {
  decoder.failure ??= { code: "syntax", message, at };
  return undefined;
}

/** Starts on a node; `target` are the entries to merge it into. */
function enter(decoder: Decoder, node: YamlNode, target?: Entries): Decoded {
  decoder.steps++;
  if (decoder.aliasDepth > 0) decoder.aliasSteps++;
  if (isExcessive(decoder)) return fail(decoder, "yaml: document contains excessive aliasing", node.at);
  switch (node.kind) {
    case "alias":
      return enterAlias(decoder, node, target);
    case "scalar":
      return decodeScalar(decoder, node);
    case "sequence":
      push(decoder, { kind: "sequence", node, items: new Array(node.children.length), next: 0 });
      return undefined;
    case "mapping": {
      const merged = target !== undefined;
      push(decoder, { kind: "mapping", node, entries: target ?? new Map(), merged, next: 0, key: undefined });
      return undefined;
    }
  }
}

function push(decoder: Decoder, frame: Frame): void {
  decoder.frames.push(frame);
  if (decoder.frames.length > MAX_DEPTH)
    fail(decoder, `yaml: exceeded max depth of ${MAX_DEPTH}`, frame.node.at);
}

/** yaml.v2's limits: 99 % of the steps may come from aliases, 10 % in documents of 4,000,000 steps and more. */
function isExcessive({ steps, aliasSteps }: Decoder): boolean {
  if (aliasSteps <= 100 || steps <= 1000) return false;
  const low = 400_000;
  const high = 4_000_000;
  const allowed = steps <= low ? 0.99 : steps >= high ? 0.1 : 0.99 - 0.89 * ((steps - low) / (high - low));
  return aliasSteps / steps > allowed;
}

/** Decodes an alias's target again each time, as Go does; an alias inside its own target would never end. */
function enterAlias(decoder: Decoder, node: YamlAlias, target?: Entries): Decoded {
  if (decoder.active.has(node)) {
    return fail(decoder, `yaml: anchor '${node.name}' value contains itself`, node.at);
  }
  decoder.active.add(node);
  decoder.aliasDepth++;
  push(decoder, { kind: "alias", node });
  return enter(decoder, node.target, target);
}

/** A scalar as a node of JSON. */
function decodeScalar(decoder: Decoder, node: YamlScalar): Node | undefined {
  const { at } = node;
  const scalar = resolveScalar(node);
  if (typeof scalar === "string") return { kind: "string", at, value: scalar };
  switch (scalar.type) {
    case "null":
      return { kind: "null", at };
    case "bool":
      return { kind: "boolean", at, value: scalar.value };
    case "int":
    case "uint":
      return { kind: "number", at, literal: scalar.literal };
    case "float":
      if (Number.isFinite(scalar.value)) return { kind: "number", at, literal: jsonNumber(scalar.value) };
      return fail(decoder, `json: unsupported value: ${jsonNumber(scalar.value)}`, at);
    case "error":
      return fail(decoder, scalar.message, at);
  }
}

/** Hands a finished child to the collection it belongs to. */
function deliver(decoder: Decoder, frame: Frame, decoded: Node | "merged"): Decoded {
  switch (frame.kind) {
    case "alias":
      decoder.frames.pop();
      decoder.aliasDepth--;
      decoder.active.delete(frame.node);
      return decoded;
    case "sequence":
      if (decoded !== "merged") frame.items[frame.next - 1] = decoded;
      break;
    case "mapping":
      if (decoded === "merged") break;
      if (frame.key === undefined) {
        frame.key = keyOf(decoder, frame.node.children[frame.next - 1], decoded);
      } else {
        noteReplaced(decoder, frame, frame.key.key);
        frame.entries.set(frame.key.key, { ...frame.key, value: decoded, merged: frame.merged });
        frame.key = undefined;
      }
      break;
    default:
  }
  return advance(decoder, frame);
}

/** Records a written key that another one replaces, if it is the document's own. */
function noteReplaced(
  { frames, replaced }: Decoder,
  frame: Extract<Frame, { kind: "mapping" }>,
  key: string,
): void {
  const old = frame.entries.get(key);
  const [outermost] = frames;
  if (old === undefined || old.merged) return;
  if (outermost?.kind === "mapping" && outermost.entries === frame.entries)
    replaced.push({ key, at: old.at, byMerge: frame.merged });
}

/** The next child of a collection, or the collection if there is none. */
function advance(decoder: Decoder, frame: Frame): Decoded {
  if (decoder.failure !== undefined) return undefined;
  switch (frame.kind) {
    case "alias":
      return undefined;
    case "sequence": {
      const child = frame.node.children[frame.next++];
      if (child !== undefined) return enter(decoder, child);
      decoder.frames.pop();
      return { kind: "array", at: frame.node.at, items: frame.items };
    }
    case "mapping":
      return advanceMapping(decoder, frame);
    case "merge list": {
      // From the last to the first, as the earlier ones win.
      const child = frame.node.children[--frame.next];
      if (child !== undefined) return enterMerge(decoder, child, frame.entries);
      decoder.frames.pop();
      return "merged";
    }
  }
}

/** The next key or value; a merge takes effect where it is written, so it may replace earlier keys. */
function advanceMapping(decoder: Decoder, frame: Extract<Frame, { kind: "mapping" }>): Decoded {
  const { node, entries } = frame;
  const child = node.children[frame.next++];
  if (child === undefined) {
    decoder.frames.pop();
    return frame.merged ? "merged" : makeObject(node.at, entries);
  }
  if (frame.key === undefined && isMerge(child)) {
    const value = node.children[frame.next++];
    if (value?.kind !== "sequence") return value && enterMerge(decoder, value, entries);
    push(decoder, { kind: "merge list", node: value, entries, next: value.children.length });
    return undefined;
  }
  return enter(decoder, child);
}

/** `<<`, if it is not quoted or has the tag of a merge. */
function isMerge(node: YamlNode): boolean {
  return node.kind === "scalar" && node.text === "<<" && (node.implicit || node.tag === MERGE_TAG);
}

/** Only mappings can be merged, and aliases of them. */
function enterMerge(decoder: Decoder, node: YamlNode, entries: Entries): Decoded {
  const source = node.kind === "alias" ? node.target : node;
  if (source.kind === "mapping") return enter(decoder, node, entries);
  return fail(decoder, "yaml: map merge requires map or sequence of maps as the value", node.at);
}

/** A scalar key as text. */
function keyOf(
  decoder: Decoder,
  node: YamlNode | undefined,
  value: Node,
): Pick<Member, "key" | "at"> | undefined {
  const source = node?.kind === "alias" ? node.target : node;
  const at = node?.at ?? value.at;
  if (source?.kind !== "scalar") {
    return fail(decoder, `yaml: invalid map key: ${value.kind === "array" ? "a list" : "a map"}`, at);
  }
  const key = keyText(resolveScalar(source));
  return key === undefined ? fail(decoder, `Unsupported map key: ${source.text || "null"}`, at) : { key, at };
}

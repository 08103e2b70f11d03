/**
 * The YAML tree -> the JSON tree that sigs.k8s.io/yaml makes of what gopkg.in/yaml.v2 decodes: aliases
 * followed, merges applied, keys turned into strings and sorted.
 *
 * yaml.v2 counts its steps to stop documents that multiply through aliases, so the steps here are its own,
 * in its order. They are kept on a stack of frames, as JavaScript's own stack is too short.
 */

import { replaceLoneBytes } from "./bytes.ts";
import type { YamlFailure } from "./cursor.ts";
import { inspect, MAX_JSON_DEPTH } from "./inspect.ts";
import type { Node } from "./node.ts";
import { jsonNumber } from "./number.ts";
import { type Entries, identify, type Key, makeObject } from "./object.ts";
import type { YamlAlias, YamlCollection, YamlNode, YamlScalar } from "./parse.ts";
import { resolveScalar } from "./resolve.ts";

export type YamlDecoded =
  | { readonly ok: true; readonly root: Node; readonly replaced: readonly ReplacedKey[] }
  | { readonly ok: false; readonly failure: YamlFailure };

/** A key of the outermost mapping that is written once more below, or replaced by a merge, and what replaces it. */
export interface ReplacedKey {
  readonly key: string;
  readonly at: number;
  readonly byMerge: boolean;
}

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
      key: Key | undefined;
    }
  | { readonly kind: "merge list"; readonly node: YamlCollection; readonly entries: Entries; next: number }
  | { readonly kind: "alias"; readonly node: YamlAlias };

/** What a step made: a value, or entries merged elsewhere; nothing yet if it opened a frame, or failed. */
type Outcome = Node | "merged" | undefined;

interface Decoder {
  readonly frames: Frame[];
  readonly active: Set<YamlAlias>;
  steps: number;
  aliasSteps: number;
  aliasDepth: number;
  /** Objects with a key that JSON can't have; an error only if they are still there at the end. */
  readonly badKeys: Map<Node, YamlFailure>;
  /** Whether anything was seen that the finished tree must be searched for. */
  suspect: boolean;
  readonly replaced: ReplacedKey[];
  failure: YamlFailure | undefined;
}

/** The JSON tree of a YAML tree. Values that come from an alias or a merge stand where they are written, at the anchor. */
export function decodeYaml(root: YamlNode): YamlDecoded {
  const decoder: Decoder = {
    frames: [],
    active: new Set(),
    steps: 1, // the document
    aliasSteps: 0,
    aliasDepth: 0,
    badKeys: new Map(),
    suspect: false,
    replaced: [],
    failure: undefined,
  };
  let outcome = enter(decoder, root);
  while (decoder.failure === undefined) {
    const frame = decoder.frames.at(-1);
    if (frame === undefined) break;
    outcome = outcome === undefined ? advance(decoder, frame) : deliver(decoder, frame, outcome);
  }
  if (decoder.failure !== undefined) return { ok: false, failure: decoder.failure };
  if (typeof outcome !== "object") throw new Error("the decoder lost its value");
  const failure = decoder.suspect ? inspect(outcome, decoder.badKeys) : undefined;
  if (failure !== undefined) return { ok: false, failure };
  return { ok: true, root: outcome, replaced: decoder.replaced };
}

function fail(decoder: Decoder, message: string, at: number): undefined {
  decoder.failure ??= { code: "syntax", message, at };
  return undefined;
}

/** Starts on a node; `target` are the entries that it is to be merged into. */
function enter(decoder: Decoder, node: YamlNode, target?: Entries): Outcome {
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
  if (decoder.frames.length > MAX_JSON_DEPTH) decoder.suspect = true;
}

/** yaml.v2's limits: 99 % of the steps may come from aliases, 10 % in documents of 4,000,000 steps and more. */
function isExcessive({ steps, aliasSteps }: Decoder): boolean {
  if (aliasSteps <= 100 || steps <= 1000) return false;
  const low = 400_000;
  const high = 4_000_000;
  const allowed = steps <= low ? 0.99 : steps >= high ? 0.1 : 0.99 - 0.89 * ((steps - low) / (high - low));
  return aliasSteps / steps > allowed;
}

/** What an alias means is decoded anew each time, as in Go; inside of itself that would never end. */
function enterAlias(decoder: Decoder, node: YamlAlias, target?: Entries): Outcome {
  if (decoder.active.has(node)) {
    return fail(decoder, `yaml: anchor '${node.name}' value contains itself`, node.at);
  }
  decoder.active.add(node);
  decoder.aliasDepth++;
  push(decoder, { kind: "alias", node });
  return enter(decoder, node.target, target);
}

/** A scalar as a node of JSON; infinities pass here, as a later key may replace them. */
function decodeScalar(decoder: Decoder, node: YamlScalar): Node | undefined {
  const { at } = node;
  const scalar = resolveScalar(node);
  if (typeof scalar === "string") return { kind: "string", at, value: replaceLoneBytes(scalar) };
  switch (scalar.type) {
    case "null":
      return { kind: "null", at };
    case "bool":
      return { kind: "boolean", at, value: scalar.value };
    case "int":
    case "uint":
      return { kind: "number", at, literal: scalar.literal };
    case "float":
      if (!Number.isFinite(scalar.value)) decoder.suspect = true;
      return { kind: "number", at, literal: jsonNumber(scalar.value) };
    case "timestamp":
      return { kind: "string", at, value: scalar.value };
    case "error":
      return fail(decoder, scalar.message, at);
  }
}

/** Hands a finished child to the collection it belongs to. */
function deliver(decoder: Decoder, frame: Frame, outcome: Node | "merged"): Outcome {
  switch (frame.kind) {
    case "alias":
      decoder.frames.pop();
      decoder.aliasDepth--;
      decoder.active.delete(frame.node);
      return outcome;
    case "sequence":
      if (outcome !== "merged") frame.items[frame.next - 1] = outcome;
      break;
    case "mapping":
      if (outcome === "merged") break;
      if (frame.key === undefined) {
        frame.key = keyOf(decoder, frame.node.children[frame.next - 1], outcome);
      } else {
        const { id, key, at } = frame.key;
        noteReplaced(decoder, frame, id);
        // Anew, so that the entries are in the order in which they were written last.
        frame.entries.delete(id);
        frame.entries.set(id, { key, at, value: outcome, merged: frame.merged });
        frame.key = undefined;
      }
      break;
    default:
  }
  return advance(decoder, frame);
}

/** Takes note of a written key that gives way, if it is one of the document's own. */
function noteReplaced(
  { frames, replaced }: Decoder,
  frame: Extract<Frame, { kind: "mapping" }>,
  id: string,
): void {
  const old = frame.entries.get(id);
  const [outermost] = frames;
  if (old?.key === undefined || old.merged) return;
  if (outermost?.kind === "mapping" && outermost.entries === frame.entries)
    replaced.push({ key: replaceLoneBytes(old.key), at: old.at, byMerge: frame.merged });
}

/** The next child of a collection, or the collection if there is none. */
function advance(decoder: Decoder, frame: Frame): Outcome {
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

/** The next key or value; a merge takes effect where it stands, so it may replace what came before. */
function advanceMapping(decoder: Decoder, frame: Extract<Frame, { kind: "mapping" }>): Outcome {
  const { node, entries } = frame;
  const child = node.children[frame.next++];
  if (child === undefined) {
    decoder.frames.pop();
    return frame.merged ? "merged" : finishObject(decoder, node, entries);
  }
  if (frame.key === undefined && isMerge(child)) {
    const value = node.children[frame.next++];
    if (value?.kind !== "sequence") return value && enterMerge(decoder, value, entries);
    push(decoder, { kind: "merge list", node: value, entries, next: value.children.length });
    return undefined;
  }
  return enter(decoder, child);
}

/** `<<`, if it isn't quoted or is tagged as what it is. */
function isMerge(node: YamlNode): boolean {
  return node.kind === "scalar" && node.text === "<<" && (node.implicit || node.tag === MERGE_TAG);
}

/** Only mappings can be merged, and aliases of them. */
function enterMerge(decoder: Decoder, node: YamlNode, entries: Entries): Outcome {
  const source = node.kind === "alias" ? node.target : node;
  if (source.kind === "mapping") return enter(decoder, node, entries);
  return fail(decoder, "yaml: map merge requires map or sequence of maps as the value", node.at);
}

/** The key as Go's map tells keys apart, and as sigs.k8s.io/yaml writes it. */
function keyOf(decoder: Decoder, node: YamlNode | undefined, value: Node): Key | undefined {
  const source = node?.kind === "alias" ? node.target : node;
  const at = node?.at ?? value.at;
  if (source?.kind !== "scalar") {
    return fail(decoder, `yaml: invalid map key: ${value.kind === "array" ? "a list" : "a map"}`, at);
  }
  return identify(resolveScalar(source), at);
}

/** The JSON object, with a note if a key in it can't be. */
function finishObject(decoder: Decoder, { at }: YamlCollection, entries: Entries): Node {
  const { object, bad } = makeObject(at, entries);
  if (bad !== undefined) {
    decoder.suspect = true;
    decoder.badKeys.set(object, bad);
  }
  return object;
}

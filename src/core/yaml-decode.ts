/**
 * The YAML tree -> the JSON tree that sigs.k8s.io/yaml makes of what gopkg.in/yaml.v2 decodes: aliases
 * followed, merges applied, keys turned into strings and sorted.
 *
 * yaml.v2 counts its steps to stop documents that multiply through aliases, so the steps here are its own,
 * in its order. They are kept on a stack of frames, as JavaScript's own stack is too short.
 */
import type { Member, Node } from "./document.ts";
import { replaceLoneBytes } from "./json.ts";
import { sortByBytes } from "./yaml-binary.ts";
import type { YamlFailure } from "./yaml-cursor.ts";
import { floatKey, jsonNumber } from "./yaml-number.ts";
import type { YamlAlias, YamlCollection, YamlNode, YamlScalar } from "./yaml-parse.ts";
import { resolveScalar, type Scalar } from "./yaml-resolve.ts";

export type YamlDecoded =
  | { readonly ok: true; readonly root: Node }
  | { readonly ok: false; readonly failure: YamlFailure };

/** encoding/json's limit, which the JSON has to pass when it is read. */
const MAX_JSON_DEPTH = 10_000;
const MERGE_TAG = "tag:yaml.org,2002:merge";

/** A member under way; its key may have bytes that are no UTF-8, and be one that JSON can't have: undefined. */
interface Entry {
  readonly key: string | undefined;
  readonly at: number;
  readonly value: Node;
}

/** A Go map under way, by keys as `identify` tells them apart. */
type Entries = Map<string, Entry>;

interface Key extends Omit<Entry, "value"> {
  readonly id: string;
}

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
  failure: YamlFailure | undefined;
}

/** Values that come from an alias or a merge stand where they are written, at the anchor. */
export function decodeYaml(root: YamlNode): YamlDecoded {
  const decoder: Decoder = {
    frames: [],
    active: new Set(),
    steps: 1, // the document
    aliasSteps: 0,
    aliasDepth: 0,
    badKeys: new Map(),
    suspect: false,
    failure: undefined,
  };
  let outcome = enter(decoder, root);
  while (decoder.failure === undefined) {
    const frame = decoder.frames.at(-1);
    if (frame === undefined) break;
    outcome = outcome === undefined ? advance(decoder, frame) : deliver(decoder, frame, outcome);
  }
  if (decoder.failure === undefined && decoder.suspect && typeof outcome === "object")
    inspect(decoder, outcome);
  if (decoder.failure !== undefined) return { ok: false, failure: decoder.failure };
  if (typeof outcome !== "object") throw new Error("the decoder lost its value");
  return { ok: true, root: outcome };
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

function enterAlias(decoder: Decoder, node: YamlAlias, target?: Entries): Outcome {
  if (decoder.active.has(node)) {
    return fail(decoder, `yaml: anchor '${node.name}' value contains itself`, node.at);
  }
  decoder.active.add(node);
  decoder.aliasDepth++;
  push(decoder, { kind: "alias", node });
  return enter(decoder, node.target, target);
}

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
        frame.entries.set(id, { key, at, value: outcome });
        frame.key = undefined;
      }
      break;
    default:
  }
  return advance(decoder, frame);
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

function advanceMapping(decoder: Decoder, frame: Extract<Frame, { kind: "mapping" }>): Outcome {
  const { node, entries } = frame;
  const child = node.children[frame.next++];
  if (child === undefined) {
    decoder.frames.pop();
    return frame.merged ? "merged" : makeObject(decoder, node, entries);
  }
  if (frame.key === undefined && isMerge(child)) {
    const value = node.children[frame.next++];
    if (value?.kind !== "sequence") return value && enterMerge(decoder, value, entries);
    push(decoder, { kind: "merge list", node: value, entries, next: value.children.length });
    return undefined;
  }
  return enter(decoder, child);
}

function isMerge(node: YamlNode): boolean {
  return node.kind === "scalar" && node.text === "<<" && (node.implicit || node.tag === MERGE_TAG);
}

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

/** Marks the ids of keys that aren't strings: a lone high surrogate, which no string has. */
const TYPED = "\uD800";

/** Go's keys of different types are different, `1` and `"1"` too; sigs.k8s.io/yaml then makes strings of them. */
function identify(scalar: Scalar, at: number): Key {
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

function makeObject(decoder: Decoder, { at }: YamlCollection, entries: Entries): Node {
  const members: Member[] = [];
  let typed = false;
  let bad: YamlFailure | undefined;
  for (const [id, entry] of entries) {
    typed ||= id.startsWith(TYPED);
    if (hasKey(entry)) members.push(entry);
    else bad ??= { code: "syntax", message: unsupportedKey(id), at: entry.at };
  }
  const object: Node = { kind: "object", at, members: sortMembers(typed ? uniqueMembers(members) : members) };
  if (bad !== undefined) {
    decoder.suspect = true;
    decoder.badKeys.set(object, bad);
  }
  return object;
}

function hasKey(entry: Entry): entry is Member {
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

/** Looks through the finished tree for what JSON can't say, in the order in which Go would notice. */
function inspect(decoder: Decoder, root: Node): void {
  walk(root, (node) => {
    const bad = decoder.badKeys.get(node);
    if (bad !== undefined) decoder.failure ??= bad;
    return bad === undefined;
  });
  walk(root, (node) => {
    const bad = node.kind === "number" && /^[+-]?(?:Inf|NaN)$/.test(node.literal);
    if (bad) fail(decoder, `json: unsupported value: ${node.literal}`, node.at);
    return !bad;
  });
  walk(root, (node, depth) => {
    const bad = depth > MAX_JSON_DEPTH && (node.kind === "array" || node.kind === "object");
    const bracket = node.kind === "array" ? "[" : "{";
    if (bad) fail(decoder, `invalid character '${bracket}' exceeded max depth`, node.at);
    return !bad;
  });
}

/** Visits the nodes from first to last until one is refused; `depth` of the root is 1. */
function walk(root: Node, visit: (node: Node, depth: number) => boolean): void {
  const pending: { readonly node: Node; readonly depth: number }[] = [{ node: root, depth: 1 }];
  for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
    const { node, depth } = top;
    if (!visit(node, depth)) return;
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
}

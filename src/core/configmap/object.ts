/** ConfigMaps as the API server writes them: lists, and the lines of a watch. */

import type { Parsed } from "../../go/flag-types.ts";
import { goQuote } from "../../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../../text/cut.ts";
import { type ConfigMapFlag, type FoundConfigMap, isWantedKey } from "./flag.ts";

/** A ConfigMap at a version of the cluster's state; undefined: it does not exist. */
export interface HeardConfigMap {
  readonly version: string;
  readonly found: FoundConfigMap | undefined;
}

/** A line of a watch. */
export type WatchEvent =
  | { readonly kind: "state"; readonly heard: HeardConfigMap }
  | { readonly kind: "bookmark"; readonly version: string }
  | { readonly kind: "error"; readonly status: number; readonly message: string };

/** Whether a version is smaller than another one. Kubernetes compares them as numbers, too (KEP-5504). */
export function isOlderVersion(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}

/** Reads the answer to a list that selects one name. */
export function parseConfigMapList(
  text: string,
  name: string,
  flag: Pick<ConfigMapFlag, "kind" | "key">,
): Parsed<HeardConfigMap> {
  const list = parseObject(text);
  const { items } = list ?? {};
  const version = versionOf(list);
  if (list?.kind !== "ConfigMapList" || !(Array.isArray(items) || items === null) || version === undefined)
    return { ok: false, message: `the answer is not a list of ConfigMaps: ${begin(text)}` };
  const [item, ...more] = items ?? [];
  if (item === undefined) return { ok: true, value: { version, found: undefined } };
  const found = pick(item, name, flag);
  if (found === undefined || more.length > 0)
    return { ok: false, message: `the answer is not about the ConfigMap ${goQuote(name)} alone` };
  return { ok: true, value: { version, found } };
}

/** Reads a line of a watch of one name. */
export function parseWatchEvent(
  line: string,
  name: string,
  flag: Pick<ConfigMapFlag, "kind" | "key">,
): Parsed<WatchEvent> {
  const event = parseObject(line);
  const type = event?.type;
  const object = asObject(event?.object);
  if (type === "ERROR") {
    const { code, message } = object ?? {};
    return { ok: true, value: { kind: "error", status: Number(code) || 0, message: String(message ?? "") } };
  }
  const version = versionOf(object);
  if (object !== undefined && version !== undefined) {
    if (type === "BOOKMARK") return { ok: true, value: { kind: "bookmark", version } };
    const found = pick(object, name, flag);
    if (type === "DELETED" && found !== undefined)
      return { ok: true, value: { kind: "state", heard: { version, found: undefined } } };
    if ((type === "ADDED" || type === "MODIFIED") && found !== undefined)
      return { ok: true, value: { kind: "state", heard: { version, found } } };
  }
  return { ok: false, message: `the watch has a line that is not an event of it: ${begin(line)}` };
}

/** The message of a Status, or the beginning of another text, such as a proxy's page. */
export function messageOfStatus(text: string): string {
  const message = parseObject(text)?.message;
  return typeof message === "string" ? cut(message, VALUE_CHARACTERS * 2) : begin(text);
}

/** An object of the API server: any of these members may be missing, or of any kind. */
export type Wire = {
  readonly [Name in
    | ("kind" | "metadata" | "items" | "data" | "binaryData" | "name" | "uid" | "resourceVersion")
    | ("type" | "object" | "code" | "message")]?: unknown;
};

/** Names of other keys that are kept, for a sentence. */
const OTHERS_AT_MOST = 5;

/** A ConfigMap's keys; undefined if it is not the one of that name. */
function pick(
  value: unknown,
  name: string,
  flag: Pick<ConfigMapFlag, "kind" | "key">,
): FoundConfigMap | undefined {
  const object = asObject(value);
  const metadata = asObject(object?.metadata);
  if (metadata?.name !== name) return undefined;
  const keys = new Map<string, Uint8Array>();
  const others: string[] = [];
  const take = (part: unknown, bytesOf: (text: string) => Uint8Array | undefined) => {
    for (const [key, text] of Object.entries(asObject(part) ?? {})) {
      const bytes = typeof text === "string" && isWantedKey(flag, key) ? bytesOf(text) : undefined;
      if (bytes !== undefined) keys.set(key, bytes);
      else if (others.length < OTHERS_AT_MOST) others.push(key);
    }
  };
  take(object?.data, (text) => new TextEncoder().encode(text));
  take(object?.binaryData, decodeBase64);
  return { uid: textOf(metadata.uid), version: textOf(metadata.resourceVersion), keys, others };
}

function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function versionOf(object: Wire | undefined): string | undefined {
  const version = asObject(object?.metadata)?.resourceVersion;
  return typeof version === "string" && version !== "" ? version : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** An object of an API server, or undefined. */
export function parseObject(text: string): Wire | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Wire | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

/** The beginning of a text that is not what it should be. */
export function begin(text: string): string {
  return text.trim() === "" ? "it is empty" : cut(text.trim().replaceAll(/\s+/g, " "), 80);
}

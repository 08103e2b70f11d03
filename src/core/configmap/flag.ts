/** ConfigMaps as --config-map names them, and the text of a configuration in them. */

import type { Parsed } from "../../go/flag-types.ts";
import { goQuote } from "../../go/quote.ts";
import type { ConfigFile, ConfigText } from "../config.ts";

/** The meaning of --config-map: one key, or all keys that begin with `ip-masq` of all ConfigMaps, as files of a directory. */
export interface ConfigMapFlag {
  readonly kind: ConfigText["kind"];
  /** The key, with the kind `file`. */
  readonly key: string;
  /** Without a namespace it is the service account's. */
  readonly maps: readonly { readonly namespace: string | undefined; readonly name: string }[];
}

/** One ConfigMap of a cluster. */
export interface ConfigMapName {
  readonly namespace: string;
  readonly name: string;
}

/** The keys of a ConfigMap that matter, and the names of some others, for people; `uid` and `version` are the object's own. */
export interface FoundConfigMap {
  readonly uid: string;
  readonly version: string;
  readonly keys: ReadonlyMap<string, Uint8Array>;
  readonly others: readonly string[];
}

const DEFAULT_KEY = "config";
/** The same prefix as that of files in a directory (agent/config/file.ts). */
const KEY_PREFIX = "ip-masq";
/** As a key: the directory form of one ConfigMap. */
const ALL_KEYS = `${KEY_PREFIX}*`;

/** RFC 1123 as Kubernetes applies it (staging/src/k8s.io/apimachinery/pkg/util/validation). */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const KEY = /^(?!\.\.?$)[-._a-zA-Z0-9]{1,253}$/;

/** Reads `[NAMESPACE/]NAME[:KEY]`, or several of them without a key, separated by commas. */
export function parseConfigMapFlag(text: string): Parsed<ConfigMapFlag> {
  const parts = text.split(",").map((part) => /^(?:([^/]*)\/)?([^/:]*)(?::(.*))?$/s.exec(part.trim()));
  const maps: ConfigMapFlag["maps"][number][] = [];
  for (const part of parts) {
    const [, namespace, name = "", key] = part ?? [];
    const wrong = part === null ? "write it as [NAMESPACE/]NAME[:KEY]" : whatIsWrong(namespace, name, key);
    if (wrong !== undefined) return { ok: false, message: wrong };
    if (parts.length > 1 && key !== undefined && key !== ALL_KEYS)
      return {
        ok: false,
        message: `of several ConfigMaps all keys that begin with ${KEY_PREFIX} count: leave out :${key}`,
      };
    if (maps.some((one) => one.namespace === namespace && one.name === name))
      return { ok: false, message: `it names ${goQuote(name)} twice` };
    maps.push({ namespace, name });
  }
  const key = parts[0]?.[3] ?? DEFAULT_KEY;
  const kind = parts.length > 1 || key === ALL_KEYS ? "directory" : "file";
  return { ok: true, value: { kind, key, maps } };
}

function whatIsWrong(
  namespace: string | undefined,
  name: string,
  key: string | undefined,
): string | undefined {
  const letters = 'lower-case letters, digits and "-"';
  if (namespace !== undefined && !LABEL.test(namespace))
    return `${goQuote(namespace)} is not a valid namespace: use ${letters}`;
  if (!SUBDOMAIN.test(name))
    return `${goQuote(name)} is not a valid name of a ConfigMap: use ${letters}, and "." between them`;
  if (key !== undefined && key !== ALL_KEYS && !KEY.test(key))
    return `${goQuote(key)} is not a valid key: use letters, digits, "-", "_" and "."`;
  return undefined;
}

/** `configmap NAMESPACE/NAME`, as kubectl names it. */
export function nameOfConfigMap({ namespace, name }: ConfigMapName): string {
  return `configmap ${namespace}/${name}`;
}

/** The source for people: `configmap kube-system/ip-masq-agent (key config)`. */
export function describeConfigMaps({ kind, key }: ConfigMapFlag, maps: readonly ConfigMapName[]): string {
  const names = maps.map(({ namespace, name }) => `${namespace}/${name}`).join(", ");
  const keys = kind === "file" ? `key ${key}` : `keys ${ALL_KEYS}`;
  return `${maps.length === 1 ? "configmap" : "configmaps"} ${names} (${keys})`;
}

/** Whether the flag means a key. */
export function isWantedKey({ kind, key }: Pick<ConfigMapFlag, "kind" | "key">, name: string): boolean {
  return kind === "file" ? name === key : name.startsWith(KEY_PREFIX);
}

/** The text in ConfigMaps, in the order of the flag. Of the same key in several the last counts, as in a projected volume. */
export function textOfConfigMaps(
  flag: ConfigMapFlag,
  maps: readonly ConfigMapName[],
  found: readonly (FoundConfigMap | undefined)[],
): ConfigText {
  const files = new Map<string, ConfigFile>();
  for (const [i, map] of maps.entries()) {
    for (const [key, bytes] of found[i]?.keys ?? [])
      files.set(key, { path: `${nameOfConfigMap(map)} (key ${key})`, bytes });
  }
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: flag.kind,
    files: sorted.map(([, file]) => file),
    source: describeConfigMaps(flag, maps),
  };
}

/** A sentence about a ConfigMap without a key that the flag means; undefined if there is one. */
export function complainOfKeys(
  flag: ConfigMapFlag,
  map: ConfigMapName,
  found: FoundConfigMap | undefined,
): string | undefined {
  if (found === undefined || found.keys.size > 0) return undefined;
  const wanted =
    flag.kind === "file" ? `no key ${goQuote(flag.key)}` : `no key that begins with ${KEY_PREFIX}`;
  const has =
    found.others.length === 0
      ? "it has none"
      : `it has ${found.others.map((key) => goQuote(key)).join(", ")}`;
  return `${nameOfConfigMap(map)} has ${wanted} (${has}): it counts as missing`;
}

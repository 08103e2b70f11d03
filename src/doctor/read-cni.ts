/** Which plugins of the node's CNI configuration masquerade by themselves, and which addresses they give to pods. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Fact, isKnown, readText, tryRead } from "../system/fact.ts";
import type { CniFile } from "./facts.ts";
import { isOthersLink } from "./pod-networks.ts";

/** The names that libcni reads. */
const NAMES = /\.(conf|conflist|json)$/;

/** The files of the directory, in name order; undefined if there is none. */
export function readCni(directory: string): Fact<readonly CniFile[] | undefined> {
  const names = tryRead("the CNI's configuration", () => readdirSync(directory));
  if (!isKnown(names)) return names;
  const files = names.value?.filter((name) => NAMES.test(name)).sort();
  return { value: files?.map((name) => readCniFile(join(directory, name))) };
}

function readCniFile(path: string): CniFile {
  const text = readText(path, path);
  const nothing = { path, masquerading: [], ranges: [], isMeta: false };
  if (!isKnown(text)) return { ...nothing, fault: text.why };
  return text.value === undefined ? nothing : parseCni(path, text.value);
}

/** A plugin's configuration, or a list of them; `delegate` is what flannel hands on. */
export function parseCni(path: string, text: string): CniFile {
  try {
    const root: unknown = JSON.parse(text);
    const plugins = pluginsIn(root);
    const masquerading = plugins.flatMap(({ type, ipMasq }) =>
      ipMasq === true ? [typeof type === "string" ? type : "without a type"] : [],
    );
    return {
      path,
      masquerading: [...new Set(masquerading)],
      ranges: plugins.flatMap(({ ipam }) => rangesOf(ipam)),
      isMeta: plugins.some(({ type }) => type === "multus"),
    };
  } catch (error) {
    return { path, masquerading: [], ranges: [], isMeta: false, fault: (error as Error).message };
  }
}

type Plugin = Readonly<Record<string, unknown>>;

/** All plugins but those for containers that are no pods, such as Podman's. */
function pluginsIn(value: unknown): Plugin[] {
  if (Array.isArray(value)) return value.flatMap(pluginsIn);
  if (typeof value !== "object" || value === null) return [];
  const plugin = value as Plugin;
  const { bridge, plugins, delegate, delegates } = plugin as Record<string, unknown>;
  if (typeof bridge === "string" && isOthersLink(bridge)) return [];
  return [plugin, ...[plugins, delegate, delegates].flatMap(pluginsIn)];
}

/** The networks that the plugin host-local gives addresses of: `subnet`, or lists of `ranges` with one each. */
function rangesOf(ipam: unknown): string[] {
  if (typeof ipam !== "object" || ipam === null) return [];
  const { type, subnet, ranges } = ipam as Record<string, unknown>;
  if (type !== "host-local") return [];
  const all = [{ subnet }, ...(Array.isArray(ranges) ? ranges.flat() : [])];
  return all.flatMap((range: unknown) => {
    const text = typeof range === "object" && range !== null && "subnet" in range ? range.subnet : undefined;
    return typeof text === "string" ? [text] : [];
  });
}

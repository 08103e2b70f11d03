/** Which plugins of the node's CNI configuration masquerade by themselves. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type CniFile, type Fact, isKnown } from "../core/doctor-facts.ts";
import { learn, readText } from "./doctor-read.ts";

/** The names that libcni reads. */
const NAMES = /\.(conf|conflist|json)$/;

/** The files of the directory, in name order; undefined if there is none. */
export function readCni(directory: string): Fact<readonly CniFile[] | undefined> {
  const names = learn("the CNI's configuration", () => readdirSync(directory));
  if (!isKnown(names)) return names;
  const files = names.value?.filter((name) => NAMES.test(name)).sort();
  return { value: files?.map((name) => readCniFile(join(directory, name))) };
}

function readCniFile(path: string): CniFile {
  const text = readText(path, path);
  if (!isKnown(text)) return { path, masquerading: [], fault: text.why };
  return text.value === undefined ? { path, masquerading: [] } : parseCni(path, text.value);
}

/** A plugin's configuration, or a list of them; `delegate` is what flannel hands on. */
export function parseCni(path: string, text: string): CniFile {
  try {
    const root: unknown = JSON.parse(text);
    return { path, masquerading: [...new Set(masqueradingIn(root))] };
  } catch (error) {
    return { path, masquerading: [], fault: (error as Error).message };
  }
}

function masqueradingIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(masqueradingIn);
  if (typeof value !== "object" || value === null) return [];
  const { type, ipMasq, plugins, delegate } = value as Record<string, unknown>;
  const own = ipMasq === true ? [typeof type === "string" ? type : "without a type"] : [];
  return [...own, ...masqueradingIn(plugins), ...masqueradingIn(delegate)];
}

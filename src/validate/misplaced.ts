/** Configurations in a manifest where no agent sees them, and what is around a configuration's text by mistake. */

import { holdsConfig } from "../core/config-swallowed.ts";
import { knownKey } from "../core/keys.ts";
import type { Problem } from "../core/problem.ts";
import type { Member, Node } from "../yaml/node.ts";
import { locator, type Position } from "../yaml/positions.ts";
import type { Document } from "../yaml/reader.ts";

/** A document of a manifest's file, and the number of lines before it. */
export interface Part {
  readonly document: Document;
  readonly line: number;
}

/** The keys that the agent's own manifest, and a directory given as `--config`, read. */
export const CONFIG_KEY = /^(?:config|ip-masq.*)$/;

const TEXT = '"config: |" below data:, and the keys of the configuration below that';

export const ADVICE = `write ${TEXT}`;

/** Places in an object that we look at; nobody writes a larger one by hand. */
const SPOTS = 100_000;

/** Levels of an object below which nobody writes a configuration. */
const DEEPEST = 8;

interface Spot extends Member {
  /** The keys that lead to it. */
  readonly above: readonly string[];
}

type Fault = (spot: Spot) => { readonly message: string; readonly hint: string } | undefined;

/** The mistakes in a ConfigMap around its texts: keys beside them, and a `data` that is not a map. */
export function faultsOf(part: Part, map: Node, path: string): Problem[] {
  const faultAt: Fault = (spot) => faultOfData(spot) ?? faultOfKey(spot);
  return [...replacedIn(part, map, path), ...problemsAt(part, spotsIn(map), path, faultAt)];
}

/** These and configurations in other places, in an object of any kind: for manifests without any in the right place. */
export function findMisplaced(part: Part, object: Node, path: string): Problem[] {
  const kind = textOf(member(object, "kind")) ?? "";
  if (kind !== "ConfigMap")
    return problemsAt(
      part,
      spotsIn(object),
      path,
      (spot) => faultOfKey(spot, kind) ?? faultOfText(spot, kind),
    );
  const faultAt: Fault = (spot) => faultOfData(spot) ?? faultOfKey(spot) ?? faultOfText(spot);
  return [...replacedIn(part, object, path), ...problemsAt(part, spotsIn(object), path, faultAt)];
}

/** Keys of the object that the same key below replaces, as where `---` is missing between two objects. */
function replacedIn({ document, line }: Part, map: Node, path: string): Problem[] {
  if (map !== document.root) return [];
  const locate = locator(document.text);
  const message = "the same key is below again, and only one of them counts";
  const hint = 'write "---" between two objects, and each key once';
  return document.swallowed.replaced
    .filter(({ byMerge }) => !byMerge)
    .slice(0, 1)
    .map(({ key, at }) => ({ code: "manifest", path, ...shift(locate(at), line), key, message, hint }));
}

/** The first fault of each map: the keys beside it have the same one. */
function problemsAt(
  { document, line }: Part,
  spots: readonly Spot[],
  path: string,
  faultAt: Fault,
): Problem[] {
  const locate = locator(document.text);
  const seen = new Set<string>();
  return spots.flatMap((spot): Problem[] => {
    const fault = faultAt(spot);
    const group = `${spot.above.join("\0")} ${fault?.message}`;
    if (fault === undefined || seen.has(group)) return [];
    seen.add(group);
    const key = [...spot.above, spot.key].join(".");
    return [{ code: "manifest", path, ...shift(locate(spot.at), line), key, ...fault }];
  });
}

function spotsIn(object: Node): Spot[] {
  const pending = membersOf(object).map((one): Spot => ({ ...one, above: [] }));
  for (let i = 0; i < pending.length && pending.length < SPOTS; i++) {
    const { above, key, value } = pending[i] as Spot;
    if (above.length === DEEPEST) continue;
    for (const one of membersOf(value)) pending.push({ ...one, above: [...above, key] });
  }
  return pending;
}

function faultOfData({ above, key, value }: Spot): ReturnType<Fault> {
  if (above.length > 0 || key !== "data" || value.kind === "object" || value.kind === "null")
    return undefined;
  const message = "must be a map of names to texts";
  if (value.kind === "array" && value.items.length > 0)
    return { message, hint: 'remove "- " before the names below it' };
  if (value.kind !== "string") return { message, hint: ADVICE };
  return {
    message,
    hint: /^\s*(?:config|ip-masq\S*):/.test(value.value) ? 'remove the "|" after "data:"' : ADVICE,
  };
}

/** A key of the configuration itself, outside of a text; `kind` is that of an object that is not a ConfigMap. */
function faultOfKey({ above: [top], key }: Spot, kind?: string): ReturnType<Fault> {
  if (knownKey(key) === undefined) return undefined;
  if (kind !== undefined)
    return {
      message: `no agent reads this in an object of kind ${kind}`,
      hint: `write a ConfigMap: ${TEXT}`,
    };
  if (top === "data" || top === "binaryData")
    return { message: "this belongs in the text of a configuration", hint: ADVICE };
  const where = top === undefined ? "beside data:" : `below ${top}:`;
  return { message: `this is ${where}, not in the text of a configuration`, hint: ADVICE };
}

/** A configuration as a text, or as a map at the place of one. */
function faultOfText({ above, key, value }: Spot, kind?: string): ReturnType<Fault> {
  const [top] = above;
  const isText = value.kind === "string";
  if (above.length > 1 || !holdsConfig(value) || !(isText || (top === undefined && CONFIG_KEY.test(key))))
    return undefined;
  if (kind !== undefined)
    return { message: "a configuration, but not in a ConfigMap", hint: "write kind: ConfigMap" };
  if (top === undefined)
    return CONFIG_KEY.test(key)
      ? { message: "this is beside data:, not below it", hint: "indent it and its text" }
      : undefined;
  if (top !== "data")
    return { message: `a configuration below ${top}:, where no agent reads it`, hint: "put it below data:" };
  const message = "a configuration under a key that the agent's manifest does not mount";
  return { message, hint: 'name the key "config"' };
}

/** The members of a map; none of any other node. */
export function membersOf(node: Node | undefined): readonly Member[] {
  return node?.kind === "object" ? node.members : [];
}

/** The place after that many more lines. */
export function shift({ line, column }: Position, lines: number): Position {
  return { line: line + lines, column };
}

/** The value of a key of a map; the last one counts, as for Go. */
export function member(node: Node | undefined, key: string): Node | undefined {
  return membersOf(node).findLast((one) => one.key === key)?.value;
}

/** The text of a node that is one. */
export function textOf(node: Node | undefined): string | undefined {
  return node?.kind === "string" ? node.value : undefined;
}

/** The table of values in the chart's README, made from the comments in values.yaml. */
import { at, type Plain } from "../lab/manifest.ts";

interface Row {
  /** As in `--set`. */
  readonly path: string;
  readonly meaning: string;
}

/** The values whose comment begins with two dashes, as for the tool helm-docs; a full stop at the end is left out. */
export function valueRows(text: string): readonly Row[] {
  const parents: { readonly indent: number; readonly key: string }[] = [];
  const rows: Row[] = [];
  let comment: string[] = [];
  for (const line of text.split("\n")) {
    const [, indent = "", said, key] = /^( *)(?:# ?(.*)|([\w.-]+):.*)$/.exec(line) ?? [];
    if (said !== undefined) comment.push(said);
    else {
      if (key !== undefined) {
        while ((parents.at(-1)?.indent ?? -1) >= indent.length) parents.pop();
        parents.push({ indent: indent.length, key });
        const path = parents.map((parent) => parent.key).join(".");
        if (comment[0]?.startsWith("-- ")) rows.push({ path, meaning: meaningOf(comment) });
      }
      comment = [];
    }
  }
  return rows;
}

function meaningOf(comment: readonly string[]): string {
  return comment.join(" ").slice("-- ".length).replace(/\.$/, "");
}

/** Values in which one is null. */
export function nullAt(path: string): object {
  return path.split(".").reduceRight<unknown>((value, key) => ({ [key]: value }), null) as object;
}

/** Cells: value, default, meaning. */
export function valueCells(text: string, defaults: Plain): readonly (readonly string[])[] {
  return valueRows(text).map(({ path, meaning }) => [
    `\`${path}\``,
    `\`${JSON.stringify(at(defaults, path))}\``,
    meaning,
  ]);
}

/** Values that no row is about. */
export function withoutRow(text: string, defaults: Plain): readonly string[] {
  const rows = new Set(valueRows(text).map(({ path }) => path));
  const missing = (value: Plain, path: string): readonly string[] => {
    if (rows.has(path)) return [];
    const inner = value !== null && typeof value === "object" && !Array.isArray(value);
    if (!inner || Object.keys(value).length === 0) return [path];
    return Object.entries(value).flatMap(([key, one]) => missing(one, path === "" ? key : `${path}.${key}`));
  };
  return missing(defaults, "");
}

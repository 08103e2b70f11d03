/** Paths with characters that hardly any path has: they came with a variable, a list or a value in quotes. */

const FAULTS: readonly (readonly [RegExp, string])[] = [
  [/^[\r\n]|[\r\n]$/, "a line break"],
  [/^["'`\u2018-\u201f]|["'`\u2018-\u201f]$/, "a quote"],
  [/^\s|\s$/, "a blank"],
  [/[,;]$/, "a comma"],
];

/** Advice on a path that leads nowhere; undefined for a path that looks like one. */
export function oddPathHint(path: string): string | undefined {
  const plain = path.replace(/^[\s"'`\u2018-\u201f]+|[\s"'`\u2018-\u201f,;]+$/gu, "");
  if (plain === "") return undefined;
  if (/^~\//.test(plain)) return "the shell expands ~ only at the beginning of a word: write the whole path";
  const url = /^[a-z]+:\/\//i.exec(plain)?.[0].toLowerCase();
  if (url === "file://") return `this is a URL: did you mean ${plain.slice(url.length)}?`;
  if (url !== undefined) return "this is a URL: save the file, and name that";
  const fault = FAULTS.find(([pattern]) => pattern.test(path))?.[1];
  if (plain === path || fault === undefined) return undefined;
  return `the path begins or ends with ${fault}: did you mean ${plain}?`;
}

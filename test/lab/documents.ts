/** The documents as a reader finds them: files, headings, links, and the command lines that they show. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A Markdown file, and its text. */
export interface Document {
  readonly path: string;
  readonly text: string;
}

const NOT_OURS = new Set([".git", "node_modules", "build", "dist", "coverage"]);

/** All Markdown files of the project. */
export function documents(): readonly Document[] {
  const ours = readdirSync(".", { withFileTypes: true }).filter(({ name }) => !NOT_OURS.has(name));
  return ours
    .flatMap((entry) =>
      entry.isDirectory()
        ? readdirSync(entry.name, { recursive: true, encoding: "utf8" }).map((path) => join(entry.name, path))
        : [entry.name],
    )
    .filter((path) => path.endsWith(".md") && !path.includes("node_modules"))
    .map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

/** A fenced block may be indented, as in a list. */
const BLOCK = /^( *)```(\w*)[^\n]*\n(.*?)^\1```$/gms;

/** Lines of blocks in one of these languages, without indentation. */
export function blockLines(text: string, ...languages: readonly string[]): readonly string[] {
  return [...text.matchAll(BLOCK)]
    .filter(([, , language = ""]) => languages.includes(language))
    .flatMap(([, , , body = ""]) => body.split("\n").map((line) => line.trim()))
    .filter((line) => line !== "");
}

/** Whole blocks in this language, without the indentation of their list. */
export function wholeBlocks(text: string, wanted: string): readonly string[] {
  return [...text.matchAll(BLOCK)]
    .filter(([, , language]) => language === wanted)
    .map(([, indent = "", , body = ""]) => body.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}

/** A call that a page shows with its answer. */
export interface ShownAnswer {
  /** The words after the program's name. */
  readonly args: string;
  /** The answer's lines, in pieces: a line of three dots replaces some. */
  readonly parts: readonly string[];
}

/** The calls in `console` blocks, with what is shown below each. */
export function shownAnswers(text: string): readonly ShownAnswer[] {
  const blocks = [...text.matchAll(BLOCK)].filter(([, , language]) => language === "console");
  return blocks.flatMap(([, , , body = ""]) =>
    body
      .split(/^\$ ip-masq-agent /m)
      .slice(1)
      .map((call) => {
        const [args = "", ...lines] = call.split("\n");
        const parts = lines.join("\n").split(/^\.\.\.\n/m);
        return { args, parts: parts.filter((part) => part !== "") };
      }),
  );
}

/** Text outside of blocks. */
export function prose(text: string): string {
  return text.replaceAll(BLOCK, "");
}

/** The units of text outside of blocks: paragraphs, items of lists, rows of tables. */
export function passages(text: string): readonly string[] {
  return prose(text)
    .split(/\n\s*\n|\n(?=\s*(?:[-*] |\||\d+\. ))/)
    .map((one) => one.trim());
}

/** Targets of links, without those in code. */
export function links(text: string): readonly string[] {
  const plain = prose(text).replaceAll(/`[^`\n]*`/g, "code");
  return [...plain.matchAll(/\[[^\]]*\]\(([^()\s]+)\)/g)].map(([, target = ""]) => target);
}

/** The names under which a page's headings can be linked to, as GitHub makes them. */
export function anchors(text: string): ReadonlySet<string> {
  const found = new Map<string, number>();
  const names = [...prose(text).matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading = ""]) => {
    const name = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
    const times = found.get(name) ?? 0;
    found.set(name, times + 1);
    return times === 0 ? name : `${name}-${times}`;
  });
  return new Set(names);
}

/** A shell's `ip-masq-agent ...`, also after a prompt, in a pod or by its file: the words after the name. */
const CALL = /(?:^|^\$ |-- |-c ')(?:ip-masq-agent|node \S*ip-masq-agent\.cjs) ([^|;'>)]+)/;

/** The arguments of each call that a page shows, in blocks and in running text. */
export function calls(text: string): readonly string[] {
  const inBlocks = blockLines(text, "sh", "console");
  const inText = [...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  return [...inBlocks, ...inText].flatMap((line) => CALL.exec(line)?.[1]?.trim() ?? []);
}

/** Calls that a reader can type unchanged: whole lines of `sh` blocks. */
export function runnableCalls(text: string): readonly string[] {
  return blockLines(text, "sh").flatMap((line) => /^ip-masq-agent (.+)$/.exec(line)?.[1] ?? []);
}

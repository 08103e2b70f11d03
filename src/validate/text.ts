/** Problems and warnings for people and programs: with the line that they are about, and a hint. */

import { messageOf, type Problem, renderPlace } from "../core/problem.ts";
import type { Colours } from "../text/colours.ts";
import { hintFor } from "./hints.ts";

export interface FileFinding extends Problem {
  readonly severity: "error" | "warning";
  readonly hint?: string;
}

/** The part of a long line that is shown. */
const WIDTH = 100;
/** The part of that before the place. */
const LEAD = 40;

/** A finding of a problem, with a hint if there is one. */
export function findingOf(problem: Problem, severity: FileFinding["severity"]): FileFinding {
  const hint = hintFor(problem);
  const finding = { ...problem, severity, message: messageOf(problem) };
  return hint === undefined ? finding : { ...finding, hint };
}

/** In the order of the text; findings without a place come first. Findings are of one file or of files in their order. */
export function byPlace(a: FileFinding, b: FileFinding): number {
  if (a.path !== b.path) return 0;
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}

/** The lines of one finding; `lines` are those of its file. */
export function renderFinding(finding: FileFinding, lines: readonly string[], colours: Colours): string {
  const { severity, key, message, hint } = finding;
  const paint = severity === "error" ? colours.red : colours.yellow;
  const head = `${colours.bold(renderPlace(finding))}: ${paint(severity)}: ${key === undefined ? "" : `${key}: `}${message}\n`;
  const help = hint === undefined ? "" : `    ${colours.green("hint")}: ${hint}\n`;
  return head + renderLine(finding, lines, paint) + help;
}

/** The line, cut around the place if it is long, and a mark below the place. */
function renderLine(
  { line, column = 1, text = "" }: FileFinding,
  lines: readonly string[],
  paint: Colours["red"],
): string {
  const whole = line === undefined ? undefined : lines[line - 1];
  if (whole === undefined || whole.trim() === "") return "";
  const from = column - 1 > WIDTH - LEAD ? column - 1 - LEAD : 0;
  const characters = charactersFrom(whole, from);
  const shown = characters.slice(0, WIDTH).map(visible);
  const before = shown.slice(0, column - 1 - from).map((character) => (character === "\t" ? "\t" : " "));
  const rest = characters.slice(before.length).join("");
  const length = [text, `"${text}"`, `'${text}'`].find(
    (written) => text !== "" && rest.startsWith(written),
  )?.length;
  const mark = "^".repeat(Math.max(1, Math.min(length ?? 1, shown.length - before.length)));
  return `    ${shown.join("")}\n    ${before.join("")}${paint(mark)}\n`;
}

/** Columns count characters; on a very long line we count units instead, so as not to walk all of it for each finding. */
function charactersFrom(line: string, from: number): string[] {
  if (line.length < 4 * WIDTH) return Array.from(line).slice(from);
  return Array.from(line.slice(from, from + 4 * WIDTH));
}

/** Replaces control characters, which could do anything to a terminal. */
function visible(character: string): string {
  return /[\p{Cc}\p{Cs}]/u.test(character) && character !== "\t" ? "\ufffd" : character;
}

/** A place in YAML text, and the classes of its characters. */
import type { Failure } from "./node.ts";

/** A place in a text, and the first mistake found there. */
export interface Cursor {
  readonly text: string;
  /** Offsets of the characters that take two units. */
  readonly wide: readonly number[];
  pos: number;
  /** 0-based, in YAML's line breaks. */
  line: number;
  lineStart: number;
  failure: Failure | undefined;
}

/** Codes of the characters with a meaning in YAML. */
export const CH = {
  tab: 9,
  lineFeed: 10,
  carriageReturn: 13,
  space: 32,
  exclamation: 33,
  doubleQuote: 34,
  hash: 35,
  percent: 37,
  ampersand: 38,
  singleQuote: 39,
  star: 42,
  plus: 43,
  comma: 44,
  dash: 45,
  dot: 46,
  zero: 48,
  nine: 57,
  colon: 58,
  greater: 62,
  question: 63,
  at: 64,
  openBracket: 91,
  backslash: 92,
  closeBracket: 93,
  backtick: 96,
  openBrace: 123,
  pipe: 124,
  closeBrace: 125,
} as const;

const NEXT_LINE = 0x85;
const LINE_SEPARATOR = 0x2028;
const PARAGRAPH_SEPARATOR = 0x2029;

/** A cursor at the beginning of the text. */
export function cursorOver(text: string): Cursor {
  const wide = Array.from(text.matchAll(/[\uD800-\uDBFF]/g), (match) => match.index);
  return { text, wide, pos: 0, line: 0, lineStart: 0, failure: undefined };
}

/** The unit at an offset; 0, which no text contains, after the end. */
export function unitAt(cursor: Cursor, at: number): number {
  return at < cursor.text.length ? cursor.text.charCodeAt(at) : 0;
}

/** An offset counted in code points, as libyaml's limits count. */
export function indexAt({ wide }: Cursor, at: number): number {
  if (wide.length === 0) return at;
  let low = 0;
  let high = wide.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((wide[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return at - low;
}

/** The column here, from 0, in code points. */
export function column(cursor: Cursor): number {
  return indexAt(cursor, cursor.pos) - indexAt(cursor, cursor.lineStart);
}

/** Records a mistake, once; returns false, for the caller to return. */
export function fail(cursor: Cursor, failure: Failure): false {
  cursor.failure ??= failure;
  return false;
}

/**
 * Records a mistake in libyaml's words. We leave out the line that Go names, since it sometimes differs from that of
 * `at`.
 */
export function scanError(cursor: Cursor, problem: string, at = cursor.pos): false {
  return fail(cursor, { code: "syntax", message: `yaml: ${problem}`, at });
}

export function isBlank(unit: number): boolean {
  return unit === CH.space || unit === CH.tab;
}

/** YAML 1.1's line breaks. */
export function isBreak(unit: number): boolean {
  if (unit < NEXT_LINE) return unit === CH.lineFeed || unit === CH.carriageReturn;
  return unit === NEXT_LINE || unit === LINE_SEPARATOR || unit === PARAGRAPH_SEPARATOR;
}

export function isBreakOrEnd(unit: number): boolean {
  return unit === 0 || isBreak(unit);
}

export function isBlankOrEnd(unit: number): boolean {
  if (unit > CH.space && unit < NEXT_LINE) return false;
  return isBlank(unit) || isBreakOrEnd(unit);
}

export function isDigit(unit: number): boolean {
  return unit >= CH.zero && unit <= CH.nine;
}

/** A character of an anchor's name. */
export function isWord(unit: number): boolean {
  const letter = unit | 0x20;
  return isDigit(unit) || (letter >= 97 && letter <= 122) || unit === CH.dash || unit === 95;
}

/** Moves past a line break, and returns the form in which a scalar keeps it. */
export function takeBreak(cursor: Cursor): string {
  const unit = unitAt(cursor, cursor.pos);
  if (!isBreak(unit)) return "";
  const pair = unit === CH.carriageReturn && unitAt(cursor, cursor.pos + 1) === CH.lineFeed;
  cursor.pos += pair ? 2 : 1;
  cursor.line++;
  cursor.lineStart = cursor.pos;
  return unit >= LINE_SEPARATOR ? String.fromCharCode(unit) : "\n";
}

/** Whether a line begins here with `---` or `...`, followed by a blank or its end. */
export function atDocumentMark(cursor: Cursor): boolean {
  const { pos } = cursor;
  if (pos !== cursor.lineStart) return false;
  const unit = unitAt(cursor, pos);
  if (unit !== CH.dash && unit !== CH.dot) return false;
  if (unitAt(cursor, pos + 1) !== unit || unitAt(cursor, pos + 2) !== unit) return false;
  return isBlankOrEnd(unitAt(cursor, pos + 3));
}

/** Moves over blanks and a comment. */
export function skipBlanksAndComment(cursor: Cursor): void {
  while (isBlank(unitAt(cursor, cursor.pos))) cursor.pos++;
  skipComment(cursor);
}

/** Moves over a comment, if one begins here. */
export function skipComment(cursor: Cursor): void {
  if (unitAt(cursor, cursor.pos) !== CH.hash) return;
  while (!isBreakOrEnd(unitAt(cursor, cursor.pos))) cursor.pos++;
}

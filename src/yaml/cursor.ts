/**
 * A place in YAML text, the classes of its characters, and how far libyaml's reader would have read.
 *
 * Two quirks of that reader can be seen from outside: bad bytes count only once the scanner asks for the 512
 * bytes around them, and its test for a byte order mark looks at the beginning of its buffer, wherever the
 * scanner is. So the scanner says `need` wherever libyaml's asks for more input; for the usual text, which has
 * neither bad bytes nor such marks, there is no `guard` and that costs nothing.
 */
import type { ReadFailure, Source } from "./read.ts";

/** The first thing wrong with the text: Go's words, and the offset of the place to look at. */
export interface YamlFailure {
  readonly code: "syntax" | "encoding";
  readonly message: string;
  readonly at: number;
}

interface Guard {
  readonly bounds: readonly number[];
  readonly failure: ReadFailure | undefined;
  /** The next entry of `bounds`. */
  next: number;
  /** Code points read so far. */
  loaded: number;
  /** Where the reader's buffer begins. */
  base: number;
}

export interface Cursor {
  readonly text: string;
  /** Offsets of the characters that take two units. */
  readonly wide: readonly number[];
  readonly guard: Guard | undefined;
  pos: number;
  /** 0-based, in YAML's line breaks. */
  line: number;
  lineStart: number;
  failure: YamlFailure | undefined;
}

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
  less: 60,
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
const BYTE_ORDER_MARK = 0xfeff;

export function cursorOver({ text, bounds, failure }: Source): Cursor {
  const wide = Array.from(text.matchAll(/[\uD800-\uDBFF]/g), (match) => match.index);
  const guard = bounds && { bounds, failure, next: 0, loaded: 0, base: 0 };
  return { text, wide, guard, pos: 0, line: 0, lineStart: 0, failure: undefined };
}

/** The unit at an offset; 0, which no text contains, behind the end. */
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

export function column(cursor: Cursor): number {
  return indexAt(cursor, cursor.pos) - indexAt(cursor, cursor.lineStart);
}

/** Records what is wrong, once; false, for the caller to return. */
export function fail(cursor: Cursor, failure: YamlFailure): false {
  cursor.failure ??= failure;
  return false;
}

/** What libyaml calls a scanner error: Go names the line the scanner stands in, unless it is the first. */
export function scanError(cursor: Cursor, problem: string, at = cursor.pos): false {
  const place = cursor.line === 0 ? "" : `line ${cursor.line + 1}: `;
  return fail(cursor, { code: "syntax", message: `yaml: ${place}${problem}`, at });
}

/** Whether the reader can give `count` characters from here on; the text's end counts as given. */
export function need(cursor: Cursor, count: number): boolean {
  return cursor.guard === undefined || load(cursor, cursor.guard, count);
}

function load(cursor: Cursor, guard: Guard, count: number): boolean {
  const wanted = indexAt(cursor, cursor.pos) + count;
  if (wanted <= guard.loaded) return true;
  guard.base = cursor.pos;
  while (guard.loaded < wanted) {
    const bound = guard.bounds[guard.next++];
    if (bound !== undefined) {
      guard.loaded = bound;
      continue;
    }
    if (guard.failure !== undefined) {
      const { message, at } = guard.failure;
      return fail(cursor, { code: "encoding", message: `yaml: ${message}`, at });
    }
    // At the end one NUL is handed out per request, however many were asked for.
    guard.loaded++;
    break;
  }
  return true;
}

/** Skips what libyaml takes for a byte order mark: any character, if its buffer begins with one. */
export function skipByteOrderMark(cursor: Cursor): void {
  const { guard, pos } = cursor;
  if (guard === undefined || pos !== cursor.lineStart) return;
  if (unitAt(cursor, guard.base) !== BYTE_ORDER_MARK) return;
  cursor.pos += (unitAt(cursor, pos) & 0xfc00) === 0xd800 ? 2 : 1;
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

/** What anchors and tag handles consist of. */
export function isWord(unit: number): boolean {
  const letter = unit | 0x20;
  return isDigit(unit) || (letter >= 97 && letter <= 122) || unit === CH.dash || unit === 95;
}

/** Moves behind a line break, and says how a scalar keeps it. */
export function takeBreak(cursor: Cursor): string {
  const unit = unitAt(cursor, cursor.pos);
  if (!isBreak(unit)) return "";
  const pair = unit === CH.carriageReturn && unitAt(cursor, cursor.pos + 1) === CH.lineFeed;
  cursor.pos += pair ? 2 : 1;
  cursor.line++;
  cursor.lineStart = cursor.pos;
  return unit >= LINE_SEPARATOR ? String.fromCharCode(unit) : "\n";
}

/** Whether a line begins here with `---` or `...` and nothing glued to it. */
export function atDocumentMark(cursor: Cursor): boolean {
  const { pos } = cursor;
  if (pos !== cursor.lineStart) return false;
  const unit = unitAt(cursor, pos);
  if (unit !== CH.dash && unit !== CH.dot) return false;
  if (unitAt(cursor, pos + 1) !== unit || unitAt(cursor, pos + 2) !== unit) return false;
  return isBlankOrEnd(unitAt(cursor, pos + 3));
}

/** Moves over blanks and a comment; false if the reader failed. */
export function skipBlanksAndComment(cursor: Cursor): boolean {
  while (isBlank(unitAt(cursor, cursor.pos))) {
    cursor.pos++;
    if (!need(cursor, 1)) return false;
  }
  return skipComment(cursor);
}

export function skipComment(cursor: Cursor): boolean {
  if (unitAt(cursor, cursor.pos) !== CH.hash) return true;
  while (!isBreakOrEnd(unitAt(cursor, cursor.pos))) {
    cursor.pos++;
    if (!need(cursor, 1)) return false;
  }
  return true;
}

/** Plain and quoted scalars. Runs of text are copied whole; only folds and escapes are put together. */
import {
  atDocumentMark,
  CH,
  column,
  isBlank,
  isBlankOrEnd,
  isBreak,
  need,
  scanError,
  takeBreak,
  unitAt,
} from "./cursor.ts";
import type { Scanner, Token } from "./tokens.ts";

/** What a double-quoted backslash may stand before; `\/` is of YAML 1.2, and refused. */
const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  "\t": "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1B",
  " ": " ",
  '"': '"',
  "'": "'",
  "\\": "\\",
  N: "\u0085",
  _: "\u00A0",
  L: "\u2028",
  P: "\u2029",
};
const HEX_LENGTHS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const HEX = /^[0-9A-Fa-f]+$/;

/** Line breaks and the blanks around them, between two pieces of a scalar. */
interface Gap {
  /** Whether there was a break, an escaped one included. */
  broken: boolean;
  first: string;
  rest: string;
}

/** What a gap with a break becomes: one break is a space, more are one less; LS and PS stay. */
function fold({ first, rest }: Gap): string {
  if (first !== "\n") return first + rest;
  return rest === "" ? " " : rest;
}

/** Moves over blanks and breaks, noting the breaks; a tab before column `indent` of a new line is an error. */
function skipGap(scanner: Scanner, gap: Gap, indent: number): boolean {
  for (;;) {
    const unit = unitAt(scanner, scanner.pos);
    if (isBlank(unit)) {
      if (gap.broken && unit === CH.tab && column(scanner) < indent) {
        return scanError(scanner, "found a tab character that violates indentation");
      }
      scanner.pos++;
    } else if (isBreak(unit)) {
      if (!need(scanner, 2)) return false;
      const kept = takeBreak(scanner);
      if (gap.broken) gap.rest += kept;
      else gap.first = kept;
      gap.broken = true;
    } else {
      return true;
    }
    if (!need(scanner, 1)) return false;
  }
}

/** A scalar without quotes: up to `: `, ` #`, less indentation, or a flow indicator. */
export function scanPlain(scanner: Scanner): Token | undefined {
  const { text, pos: at, line } = scanner;
  const indent = scanner.indent + 1;
  let value = "";
  let from = at;
  let end = at;
  let gap: Gap = { broken: false, first: "", rest: "" };
  for (;;) {
    if (!need(scanner, 4)) return undefined;
    if (atDocumentMark(scanner) || unitAt(scanner, scanner.pos) === CH.hash) break;
    const start = scanner.pos;
    if (!skipPlainRun(scanner)) return undefined;
    if (scanner.pos > start) {
      if (gap.broken) {
        value += text.slice(from, end) + fold(gap);
        from = start;
        gap = { broken: false, first: "", rest: "" };
      }
      end = scanner.pos;
    }
    const unit = unitAt(scanner, scanner.pos);
    if (!isBlank(unit) && !isBreak(unit)) break;
    if (!need(scanner, 1) || !skipGap(scanner, gap, indent)) return undefined;
    if (scanner.flowLevel === 0 && column(scanner) < indent) break;
  }
  // Behind a line break a key may start again, although a scalar doesn't let one follow.
  if (gap.broken) scanner.simpleKeyAllowed = true;
  const run = text.slice(from, end);
  return { type: "plain", at, end, line, value: value === "" ? run : value + run, suffix: "" };
}

/** Moves to the next blank, break or indicator that ends a plain scalar. */
function skipPlainRun(scanner: Scanner): boolean {
  const flow = scanner.flowLevel > 0;
  const guarded = scanner.guard !== undefined;
  const { text } = scanner;
  for (; scanner.pos < text.length; scanner.pos++) {
    const unit = text.charCodeAt(scanner.pos);
    if (isBlankOrEnd(unit)) break;
    if (unit === CH.colon) {
      if (isBlankOrEnd(unitAt(scanner, scanner.pos + 1))) break;
    } else if (flow && endsFlowPlain(unit)) {
      break;
    }
    // The reader is asked after each character, and before this one if it is the first.
    if (guarded && !needAfter(scanner, unit)) return false;
  }
  return true;
}

/** Whether the reader can give two characters behind this one. */
function needAfter(scanner: Scanner, unit: number): boolean {
  // The second unit of a wide character is no character.
  if ((unit & 0xfc00) === 0xd800) return true;
  scanner.pos++;
  const given = need(scanner, 2);
  scanner.pos--;
  return given;
}

/** Inside brackets libyaml ends plain text at `?`, too. */
function endsFlowPlain(unit: number): boolean {
  switch (unit) {
    case CH.comma:
    case CH.question:
    case CH.openBracket:
    case CH.closeBracket:
    case CH.openBrace:
    case CH.closeBrace:
      return true;
    default:
      return false;
  }
}

export function scanSingleQuoted(scanner: Scanner): Token | undefined {
  return scanQuoted(scanner, true);
}

export function scanDoubleQuoted(scanner: Scanner): Token | undefined {
  return scanQuoted(scanner, false);
}

/** The quoted scalar whose quote stands here. */
function scanQuoted(scanner: Scanner, single: boolean): Token | undefined {
  const { pos: at, line, text } = scanner;
  const quote = single ? CH.singleQuote : CH.doubleQuote;
  let value = "";
  let from = ++scanner.pos;
  for (;;) {
    if (!need(scanner, 4)) return undefined;
    if (atDocumentMark(scanner)) return refuse(scanner, "found unexpected document indicator");
    if (scanner.pos >= text.length) return refuse(scanner, "found unexpected end of stream", at);
    const gap: Gap = { broken: false, first: "", rest: "" };
    // The text up to the next blank, break or end.
    for (;;) {
      const unit = unitAt(scanner, scanner.pos);
      if (isBlankOrEnd(unit)) break;
      const next = unitAt(scanner, scanner.pos + 1);
      if (unit === quote) {
        if (!single || next !== CH.singleQuote) break;
        value += text.slice(from, scanner.pos + 1);
        scanner.pos += 2;
        from = scanner.pos;
      } else if (unit === CH.backslash && !single) {
        value += text.slice(from, scanner.pos);
        if (isBreak(next)) {
          if (!need(scanner, 3)) return undefined;
          scanner.pos++;
          takeBreak(scanner);
          from = scanner.pos;
          gap.broken = true;
          break;
        }
        const escaped = scanEscape(scanner);
        if (escaped === undefined) return undefined;
        value += escaped;
        from = scanner.pos;
      } else {
        scanner.pos += (unit & 0xfc00) === 0xd800 ? 2 : 1;
      }
      if (!need(scanner, 2)) return undefined;
    }
    if (!need(scanner, 1)) return undefined;
    const end = scanner.pos;
    if (unitAt(scanner, end) === quote) {
      scanner.pos++;
      const run = text.slice(from, end);
      return {
        type: "quoted",
        at,
        end: scanner.pos,
        line,
        value: value === "" ? run : value + run,
        suffix: "",
      };
    }
    if (!skipGap(scanner, gap, 0)) return undefined;
    // Blanks without a break are text like any other.
    if (gap.broken) {
      value += text.slice(from, end) + fold(gap);
      from = scanner.pos;
    }
  }
}

/** An escape sequence's character; the backslash has been seen. */
function scanEscape(scanner: Scanner): string | undefined {
  const { text } = scanner;
  const name = text.charAt(scanner.pos + 1);
  const character = ESCAPES[name];
  const length = HEX_LENGTHS[name] ?? 0;
  if (character === undefined && length === 0) return refuse(scanner, "found unknown escape character");
  scanner.pos += 2;
  if (character !== undefined) return character;
  if (!need(scanner, length)) return undefined;
  const digits = text.slice(scanner.pos, scanner.pos + length);
  if (digits.length < length || !HEX.test(digits)) {
    return refuse(scanner, "did not find expected hexdecimal number");
  }
  const value = Number.parseInt(digits, 16);
  if ((value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) {
    return refuse(scanner, "found invalid Unicode character escape code");
  }
  scanner.pos += length;
  return String.fromCodePoint(value);
}

function refuse(scanner: Scanner, problem: string, at?: number): undefined {
  scanError(scanner, problem, at);
  return undefined;
}

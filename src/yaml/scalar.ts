/** Plain and quoted scalars. Runs of text are copied whole; only folds and escapes are put together. */
import {
  atDocumentMark,
  CH,
  column,
  isBlank,
  isBlankOrEnd,
  isBreak,
  scanError,
  takeBreak,
  unitAt,
} from "./cursor.ts";
import type { Scanner, Token } from "./tokens.ts";

/** The characters after a backslash in double quotes; `\/` is YAML 1.2, and rejected. */
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

/** The text of a gap with a break: one break is a space, more are one less; LS and PS stay. */
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
      const kept = takeBreak(scanner);
      if (gap.broken) gap.rest += kept;
      else gap.first = kept;
      gap.broken = true;
    } else {
      return true;
    }
  }
}

/** A scalar without quotes: up to `: `, ` #`, less indentation, or a flow indicator. */
export function scanPlain(scanner: Scanner): Token | undefined {
  const { text, pos: at } = scanner;
  const indent = scanner.indent + 1;
  let value = "";
  let from = at;
  let end = at;
  let gap: Gap = { broken: false, first: "", rest: "" };
  for (;;) {
    if (atDocumentMark(scanner) || unitAt(scanner, scanner.pos) === CH.hash) break;
    const start = scanner.pos;
    skipPlainRun(scanner);
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
    if (!skipGap(scanner, gap, indent)) return undefined;
    if (scanner.flowLevel === 0 && column(scanner) < indent) break;
  }
  // After a line break a key may start again, although no key can follow a scalar.
  if (gap.broken) scanner.simpleKeyAllowed = true;
  const run = text.slice(from, end);
  return { type: "plain", at, end, value: value === "" ? run : value + run };
}

/** Moves to the next blank, break or indicator that ends a plain scalar. */
function skipPlainRun(scanner: Scanner): void {
  const flow = scanner.flowLevel > 0;
  const { text } = scanner;
  for (; scanner.pos < text.length; scanner.pos++) {
    const unit = text.charCodeAt(scanner.pos);
    if (isBlankOrEnd(unit)) break;
    if (unit === CH.colon) {
      if (isBlankOrEnd(unitAt(scanner, scanner.pos + 1))) break;
    } else if (flow && endsFlowPlain(unit)) {
      break;
    }
  }
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

/** Scans `'...'`. */
export function scanSingleQuoted(scanner: Scanner): Token | undefined {
  return scanQuoted(scanner, true);
}

/** Scans `"..."`. */
export function scanDoubleQuoted(scanner: Scanner): Token | undefined {
  return scanQuoted(scanner, false);
}

/** Scans the quoted scalar whose quote is here. */
function scanQuoted(scanner: Scanner, single: boolean): Token | undefined {
  const { pos: at, text } = scanner;
  const quote = single ? CH.singleQuote : CH.doubleQuote;
  let value = "";
  let from = ++scanner.pos;
  for (;;) {
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
    }
    const end = scanner.pos;
    if (unitAt(scanner, end) === quote) {
      scanner.pos++;
      const run = text.slice(from, end);
      return { type: "quoted", at, end: scanner.pos, value: value === "" ? run : value + run };
    }
    if (!skipGap(scanner, gap, 0)) return undefined;
    // Blanks without a break are ordinary text.
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

/** Anchors, aliases, tags, and the directives %YAML and %TAG. */
import {
  CH,
  isBlank,
  isBlankOrEnd,
  isBreak,
  isBreakOrEnd,
  isDigit,
  isWord,
  need,
  scanError,
  skipBlanksAndComment,
  takeBreak,
  unitAt,
} from "./cursor.ts";
import type { Scanner, Token } from "./tokens.ts";

const MAX_VERSION_DIGITS = 2;
const AFTER_NAME = "?:,]}%@`";
const URI_MARKS = ";/?:@&=+$,.!~*'()[]";

function refuse(scanner: Scanner, problem: string): undefined {
  scanError(scanner, problem);
  return undefined;
}

/** Moves over blanks; false if the reader failed. */
function skipBlanks(scanner: Scanner): boolean {
  while (isBlank(unitAt(scanner, scanner.pos))) {
    scanner.pos++;
    if (!need(scanner, 1)) return false;
  }
  return true;
}

/** Letters, digits, `-` and `_`; undefined only if the reader failed. */
function scanWord(scanner: Scanner): string | undefined {
  const from = scanner.pos;
  if (!need(scanner, 1)) return undefined;
  while (isWord(unitAt(scanner, scanner.pos))) {
    scanner.pos++;
    if (!need(scanner, 1)) return undefined;
  }
  return scanner.text.slice(from, scanner.pos);
}

/** `*name` or `&name`. */
export function scanName(scanner: Scanner, type: "alias" | "anchor"): Token | undefined {
  const { pos: at, line } = scanner;
  scanner.pos++;
  const value = scanWord(scanner);
  if (value === undefined) return undefined;
  const next = unitAt(scanner, scanner.pos);
  if (value === "" || !(isBlankOrEnd(next) || AFTER_NAME.includes(String.fromCharCode(next)))) {
    return refuse(scanner, "did not find expected alphabetic or numeric character");
  }
  return { type, at, end: scanner.pos, line, value, suffix: "" };
}

/** `!<uri>`, `!suffix`, `!handle!suffix` or `!`. */
export function scanTag(scanner: Scanner): Token | undefined {
  const { pos: at, line } = scanner;
  if (!need(scanner, 2)) return undefined;
  const tag = unitAt(scanner, at + 1) === CH.less ? scanVerbatimTag(scanner) : scanShortTag(scanner);
  if (tag === undefined || !need(scanner, 1)) return undefined;
  if (!isBlankOrEnd(unitAt(scanner, scanner.pos))) {
    return refuse(scanner, "did not find expected whitespace or line break");
  }
  return { type: "tag", at, end: scanner.pos, line, value: tag.handle, suffix: tag.suffix };
}

interface Tag {
  /** Empty if the suffix is the whole tag. */
  readonly handle: string;
  readonly suffix: string;
}

/** `!<uri>`: taken as it is, without a handle. */
function scanVerbatimTag(scanner: Scanner): Tag | undefined {
  scanner.pos += 2;
  const suffix = scanUri(scanner, "");
  if (suffix === undefined) return undefined;
  if (unitAt(scanner, scanner.pos) !== CH.greater) return refuse(scanner, "did not find the expected '>'");
  scanner.pos++;
  return { handle: "", suffix };
}

/** `!handle!suffix`, or `!suffix` under the handle `!`; a lone `!` is a tag without a handle. */
function scanShortTag(scanner: Scanner): Tag | undefined {
  const handle = scanHandle(scanner, false);
  if (handle === undefined) return undefined;
  if (handle.length > 1 && handle.endsWith("!")) {
    const suffix = scanUri(scanner, "");
    return suffix === undefined ? undefined : { handle, suffix };
  }
  const suffix = scanUri(scanner, handle);
  if (suffix === undefined) return undefined;
  return suffix === "" ? { handle: "", suffix: "!" } : { handle: "!", suffix };
}

/** `!`, `!!` or `!name!`; outside of a directive also `!name`, which is no handle after all. */
function scanHandle(scanner: Scanner, directive: boolean): string | undefined {
  if (!need(scanner, 1)) return undefined;
  if (unitAt(scanner, scanner.pos) !== CH.exclamation) return refuse(scanner, "did not find expected '!'");
  scanner.pos++;
  const word = scanWord(scanner);
  if (word === undefined) return undefined;
  if (unitAt(scanner, scanner.pos) === CH.exclamation) {
    scanner.pos++;
    return `!${word}!`;
  }
  if (directive && word !== "") return refuse(scanner, "did not find expected '!'");
  return `!${word}`;
}

/** The rest of a tag that began with `head`, with one unit per octet where it is escaped. */
function scanUri(scanner: Scanner, head: string): string | undefined {
  let uri = head.slice(1);
  let found = head !== "";
  if (!need(scanner, 1)) return undefined;
  for (;;) {
    const unit = unitAt(scanner, scanner.pos);
    if (unit === CH.percent) {
      const octets = scanOctets(scanner);
      if (octets === undefined) return undefined;
      uri += octets;
    } else if (isWord(unit) || (unit !== 0 && URI_MARKS.includes(String.fromCharCode(unit)))) {
      uri += String.fromCharCode(unit);
      scanner.pos++;
    } else {
      break;
    }
    found = true;
    if (!need(scanner, 1)) return undefined;
  }
  return found ? uri : refuse(scanner, "did not find expected tag URI");
}

/** `%E2%82%AC`: as many octets as the first one announces. */
function scanOctets(scanner: Scanner): string | undefined {
  let octets = "";
  let left = 0;
  do {
    if (!need(scanner, 3)) return undefined;
    const digits = /^%([0-9A-Fa-f]{2})/.exec(scanner.text.slice(scanner.pos, scanner.pos + 3))?.[1];
    if (digits === undefined) return refuse(scanner, "did not find URI escaped octet");
    const octet = Number.parseInt(digits, 16);
    if (octets === "") {
      left = octet < 0x80 ? 1 : octet < 0xc0 ? 0 : octet < 0xe0 ? 2 : octet < 0xf0 ? 3 : octet < 0xf8 ? 4 : 0;
      if (left === 0) return refuse(scanner, "found an incorrect leading UTF-8 octet");
    } else if ((octet & 0xc0) !== 0x80) {
      return refuse(scanner, "found an incorrect trailing UTF-8 octet");
    }
    octets += String.fromCharCode(octet);
    scanner.pos += 3;
  } while (--left > 0);
  return octets;
}

/** A line that begins with `%`. */
export function scanDirective(scanner: Scanner): Token | undefined {
  const { pos: at, line } = scanner;
  scanner.pos++;
  const name = scanWord(scanner);
  if (name === undefined) return undefined;
  if (name === "") return refuse(scanner, "could not find expected directive name");
  if (!isBlankOrEnd(unitAt(scanner, scanner.pos))) {
    return refuse(scanner, "found unexpected non-alphabetical character");
  }
  let token: Token;
  if (name === "YAML") {
    const version = scanVersion(scanner);
    if (version === undefined) return undefined;
    token = { type: "%YAML", at, end: scanner.pos, line, value: version, suffix: "" };
  } else if (name === "TAG") {
    const tag = scanTagDirective(scanner);
    if (tag === undefined) return undefined;
    token = { type: "%TAG", at, end: scanner.pos, line, value: tag.handle, suffix: tag.suffix };
  } else {
    return refuse(scanner, "found unknown directive name");
  }
  return endDirective(scanner) ? token : undefined;
}

/** The rest of a directive's line must be blank, or a comment. */
function endDirective(scanner: Scanner): boolean {
  if (!need(scanner, 1) || !skipBlanksAndComment(scanner)) return false;
  const end = unitAt(scanner, scanner.pos);
  if (!isBreakOrEnd(end)) return scanError(scanner, "did not find expected comment or line break");
  if (isBreak(end)) {
    if (!need(scanner, 2)) return false;
    takeBreak(scanner);
  }
  return true;
}

/** `1.1`; whether it is one we know is the parser's business. */
function scanVersion(scanner: Scanner): string | undefined {
  if (!need(scanner, 1) || !skipBlanks(scanner)) return undefined;
  const major = scanVersionNumber(scanner);
  if (major === undefined) return undefined;
  if (unitAt(scanner, scanner.pos) !== CH.dot) {
    return refuse(scanner, "did not find expected digit or '.' character");
  }
  scanner.pos++;
  const minor = scanVersionNumber(scanner);
  return minor === undefined ? undefined : `${major}.${minor}`;
}

function scanVersionNumber(scanner: Scanner): number | undefined {
  if (!need(scanner, 1)) return undefined;
  const from = scanner.pos;
  while (isDigit(unitAt(scanner, scanner.pos))) {
    if (scanner.pos - from >= MAX_VERSION_DIGITS) {
      return refuse(scanner, "found extremely long version number");
    }
    scanner.pos++;
    if (!need(scanner, 1)) return undefined;
  }
  if (scanner.pos === from) return refuse(scanner, "did not find expected version number");
  return Number(scanner.text.slice(from, scanner.pos));
}

/** `%TAG !handle! prefix`. */
function scanTagDirective(scanner: Scanner): Tag | undefined {
  if (!need(scanner, 1) || !skipBlanks(scanner)) return undefined;
  const handle = scanHandle(scanner, true);
  if (handle === undefined || !need(scanner, 1)) return undefined;
  if (!isBlank(unitAt(scanner, scanner.pos))) return refuse(scanner, "did not find expected whitespace");
  if (!skipBlanks(scanner)) return undefined;
  const suffix = scanUri(scanner, "");
  if (suffix === undefined || !need(scanner, 1)) return undefined;
  if (!isBlankOrEnd(unitAt(scanner, scanner.pos))) {
    return refuse(scanner, "did not find expected whitespace or line break");
  }
  return { handle, suffix };
}

/**
 * YAML text -> tokens, under libyaml's rules of indentation and simple keys.
 *
 * `a: b` is a mapping only because of the colon, so anything that may turn out to be a key (a "simple key") holds back
 * its token until the colon comes or cannot come any more: on the same line, within 1024 characters. Reference: YAML
 * 1.1 and the behaviour of gopkg.in/yaml.v2 2.4.0, which test/oracle compares with.
 */
import { scanBlockScalar } from "./block.ts";
import {
  atDocumentMark,
  CH,
  column,
  isBlank,
  isBlankOrEnd,
  isBreak,
  scanError,
  skipComment,
  takeBreak,
  unitAt,
} from "./cursor.ts";
import { scanDoubleQuoted, scanPlain, scanSingleQuoted } from "./scalar.ts";
import { scanDirective, scanName, scanTag } from "./tag.ts";
import {
  currentKey,
  dropKey,
  emit,
  emitMark,
  forgetLevel,
  insert,
  keyToken,
  MAX_DEPTH,
  makeToken,
  newKey,
  nextTokenNumber,
  rollIndent,
  type Scanner,
  saveKey,
  type Token,
  type TokenType,
  unrollIndent,
  usableKey,
} from "./tokens.ts";

/** The next token, which stays in the queue; undefined if there is none because of `failure`. */
export function peekToken(scanner: Scanner): Token | undefined {
  for (;;) {
    const token = scanner.queue[scanner.head];
    if (token !== undefined) {
      const level = scanner.keyLevels[scanner.head] ?? -1;
      const key = level < 0 ? undefined : scanner.keys[level];
      if (key === undefined) return token;
      const usable = usableKey(scanner, key);
      if (usable === undefined) return undefined;
      if (!usable) return token;
    }
    if (!fetchToken(scanner)) return undefined;
  }
}

/** Adds the next token to the queue, and those that the indentation puts before it. */
function fetchToken(scanner: Scanner): boolean {
  skipToToken(scanner);
  unrollIndent(scanner, column(scanner));
  const { pos } = scanner;
  if (pos >= scanner.text.length) return fetchStreamEnd(scanner);
  const unit = unitAt(scanner, pos);
  if (pos === scanner.lineStart) {
    if (unit === CH.percent) return fetchDirective(scanner);
    if (atDocumentMark(scanner)) return fetchDocumentMark(scanner, unit === CH.dash ? "---" : "...");
  }
  return fetchIndicator(scanner, unit) ?? fetchOther(scanner, unit);
}

/** Tokens that their first character and the next identify; undefined for all others. */
function fetchIndicator(scanner: Scanner, unit: number): boolean | undefined {
  const flow = scanner.flowLevel > 0;
  switch (unit) {
    case CH.openBracket:
      return fetchFlowStart(scanner, "[");
    case CH.openBrace:
      return fetchFlowStart(scanner, "{");
    case CH.closeBracket:
      return fetchFlowEnd(scanner, "]");
    case CH.closeBrace:
      return fetchFlowEnd(scanner, "}");
    case CH.comma:
      return fetchFlowEntry(scanner);
    case CH.dash:
      return isApart(scanner) ? fetchBlockEntry(scanner) : undefined;
    case CH.question:
      return flow || isApart(scanner) ? fetchKey(scanner) : undefined;
    case CH.colon:
      return flow || isApart(scanner) ? fetchValue(scanner) : undefined;
    case CH.star:
      return fetchName(scanner, "alias");
    case CH.ampersand:
      return fetchName(scanner, "anchor");
    case CH.exclamation:
      return fetchProperty(scanner, scanTag);
    case CH.pipe:
      return flow ? undefined : fetchBlockScalar(scanner, true);
    case CH.greater:
      return flow ? undefined : fetchBlockScalar(scanner, false);
    case CH.singleQuote:
      return fetchProperty(scanner, scanSingleQuoted);
    case CH.doubleQuote:
      return fetchProperty(scanner, scanDoubleQuoted);
    default:
      return undefined;
  }
}

/** Whether a blank or the end follows the character here. */
function isApart(scanner: Scanner): boolean {
  return isBlankOrEnd(unitAt(scanner, scanner.pos + 1));
}

function fetchOther(scanner: Scanner, unit: number): boolean {
  if (startsPlain(scanner, unit)) return fetchProperty(scanner, scanPlain);
  return scanError(scanner, "found character that cannot start any token");
}

/** Whether a plain scalar may begin here: stricter than YAML, as libyaml is. */
function startsPlain(scanner: Scanner, unit: number): boolean {
  const next = unitAt(scanner, scanner.pos + 1);
  switch (unit) {
    case CH.dash:
      return !isBlank(next);
    case CH.question:
    case CH.colon:
      return scanner.flowLevel === 0 && !isBlankOrEnd(next);
    case CH.hash:
    case CH.pipe:
    case CH.greater:
    case CH.percent:
    case CH.at:
    case CH.backtick:
      return false;
    default:
      return !isBlankOrEnd(unit);
  }
}

/** Moves over blanks, comments and line breaks. Tabs count as blanks only where no block key could start. */
function skipToToken(scanner: Scanner): void {
  for (;;) {
    const tabs = scanner.flowLevel > 0 || !scanner.simpleKeyAllowed;
    let unit = unitAt(scanner, scanner.pos);
    while (unit === CH.space || (tabs && unit === CH.tab)) {
      scanner.pos++;
      unit = unitAt(scanner, scanner.pos);
    }
    skipComment(scanner);
    if (!isBreak(unitAt(scanner, scanner.pos))) return;
    takeBreak(scanner);
    if (scanner.flowLevel === 0) scanner.simpleKeyAllowed = true;
  }
}

function fetchStreamEnd(scanner: Scanner): boolean {
  // As if the last line were complete; therefore Go's messages may name the line after the last.
  if (scanner.pos !== scanner.lineStart) {
    scanner.line++;
    scanner.lineStart = scanner.pos;
  }
  if (!leaveBlocks(scanner)) return false;
  return emit(scanner, makeToken("stream end", scanner, scanner.pos));
}

/** Directives and document marks end everything, wherever they are. */
function leaveBlocks(scanner: Scanner): boolean {
  unrollIndent(scanner, -1);
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = false;
  return true;
}

function fetchDirective(scanner: Scanner): boolean {
  if (!leaveBlocks(scanner)) return false;
  const token = scanDirective(scanner);
  return token !== undefined && emit(scanner, token);
}

function fetchDocumentMark(scanner: Scanner, type: TokenType): boolean {
  return leaveBlocks(scanner) && emitMark(scanner, type, 3);
}

function fetchFlowStart(scanner: Scanner, type: TokenType): boolean {
  if (!saveKey(scanner)) return false;
  scanner.flowLevel++;
  // The new level's number is that of the bracket itself: `[]` then forgets that the bracket may be a key,
  // so that `[]: x` is read as `[]` and a stray colon. See fetchFlowEnd.
  scanner.keys[scanner.flowLevel] = newKey(nextTokenNumber(scanner));
  if (scanner.flowLevel > MAX_DEPTH) return scanError(scanner, `exceeded max depth of ${MAX_DEPTH}`);
  scanner.simpleKeyAllowed = true;
  return emitMark(scanner, type, 1);
}

function fetchFlowEnd(scanner: Scanner, type: TokenType): boolean {
  if (!dropKey(scanner)) return false;
  if (scanner.flowLevel > 0) {
    forgetLevel(scanner, currentKey(scanner).token);
    scanner.flowLevel--;
    scanner.keys.pop();
  }
  scanner.simpleKeyAllowed = false;
  return emitMark(scanner, type, 1);
}

function fetchFlowEntry(scanner: Scanner): boolean {
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = true;
  return emitMark(scanner, ",", 1);
}

/** `- `: opens a block sequence if it is deeper than the open one. */
function fetchBlockEntry(scanner: Scanner): boolean {
  if (scanner.flowLevel === 0) {
    if (!scanner.simpleKeyAllowed) {
      return scanError(scanner, "block sequence entries are not allowed in this context");
    }
    if (!rollIndent(scanner, column(scanner), "block sequence")) return false;
  }
  // In a flow collection the parser refuses it.
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = true;
  return emitMark(scanner, "-", 1);
}

/** `? `, the key without a simple key's limits. */
function fetchKey(scanner: Scanner): boolean {
  if (scanner.flowLevel === 0) {
    if (!scanner.simpleKeyAllowed) return scanError(scanner, "mapping keys are not allowed in this context");
    if (!rollIndent(scanner, column(scanner), "block mapping")) return false;
  }
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = scanner.flowLevel === 0;
  return emitMark(scanner, "key", 1);
}

/** `:`. If a simple key is still possible, its token gets a key token before it, and maybe a mapping opened. */
function fetchValue(scanner: Scanner): boolean {
  const key = currentKey(scanner);
  const usable = usableKey(scanner, key);
  if (usable === undefined) return false;
  if (usable) {
    insert(scanner, key.token, keyToken("key", key));
    if (!rollIndent(scanner, key.column, "block mapping", key)) return false;
    key.possible = false;
    forgetLevel(scanner, key.token);
    scanner.simpleKeyAllowed = false;
  } else {
    if (scanner.flowLevel === 0) {
      if (!scanner.simpleKeyAllowed) {
        return scanError(scanner, "mapping values are not allowed in this context");
      }
      if (!rollIndent(scanner, column(scanner), "block mapping")) return false;
    }
    scanner.simpleKeyAllowed = scanner.flowLevel === 0;
  }
  return emitMark(scanner, "value", 1);
}

function fetchName(scanner: Scanner, type: "alias" | "anchor"): boolean {
  return fetchProperty(scanner, (at) => scanName(at, type));
}

/** A token that may itself be a key, or begin one, and allows none directly after it. */
function fetchProperty(scanner: Scanner, scan: (scanner: Scanner) => Token | undefined): boolean {
  if (!saveKey(scanner)) return false;
  scanner.simpleKeyAllowed = false;
  const token = scan(scanner);
  return token !== undefined && emit(scanner, token);
}

/** A block scalar cannot be a key, but a key may follow it. */
function fetchBlockScalar(scanner: Scanner, literal: boolean): boolean {
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = true;
  const token = scanBlockScalar(scanner, literal);
  return token !== undefined && emit(scanner, token);
}

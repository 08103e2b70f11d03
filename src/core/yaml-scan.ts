/**
 * YAML text -> tokens, under libyaml's rules of indentation and simple keys.
 *
 * `a: b` is a mapping only because of the colon, so whatever may turn out to be a key (a "simple key") holds
 * back its token until the colon comes or can't come any more: on the same line, within 1024 characters.
 * Reference: YAML 1.1 and the behaviour of gopkg.in/yaml.v2 2.4.0, which test/oracle compares with.
 */
import { scanBlockScalar } from "./yaml-block.ts";
import {
  atDocumentMark,
  CH,
  type Cursor,
  column,
  cursorOver,
  indexAt,
  isBlank,
  isBlankOrEnd,
  isBreak,
  need,
  scanError,
  skipByteOrderMark,
  skipComment,
  takeBreak,
  unitAt,
} from "./yaml-cursor.ts";
import type { Source } from "./yaml-read.ts";
import { scanDoubleQuoted, scanPlain, scanSingleQuoted } from "./yaml-scalar.ts";
import { scanDirective, scanName, scanTag } from "./yaml-tag.ts";

const MAX_DEPTH = 10_000; // of flow collections, and of indentation
const MAX_KEY_LENGTH = 1024;

export type TokenType =
  | "stream end"
  | "%YAML"
  | "%TAG"
  | "---"
  | "..."
  | "block sequence"
  | "block mapping"
  | "block end"
  | "["
  | "]"
  | "{"
  | "}"
  | "-"
  | ","
  | "key"
  | "value"
  | "alias"
  | "anchor"
  | "tag"
  | "plain"
  | "quoted";

export interface Token {
  readonly type: TokenType;
  readonly at: number;
  readonly end: number;
  /** 0-based. */
  readonly line: number;
  /** The scalar, the name of an anchor, the handle of a tag, the version of %YAML. */
  readonly value: string;
  /** What follows the handle in a tag, the prefix of %TAG. */
  readonly suffix: string;
}

/** What may become a key, one per flow level. */
interface SimpleKey {
  possible: boolean;
  /** In block context at the mapping's own column nothing but a key can stand. */
  required: boolean;
  token: number;
  at: number;
  line: number;
  column: number;
}

export interface Scanner extends Cursor {
  flowLevel: number;
  /** The column of the innermost block collection, -1 outside of all. */
  indent: number;
  readonly indents: number[];
  simpleKeyAllowed: boolean;
  readonly keys: SimpleKey[];
  readonly queue: Token[];
  head: number;
  /**
   * Beside the queue: the flow level whose simple key begins at the token of that number, or -1. A token that
   * is inserted moves the tokens behind it, but not these, as libyaml goes by the number.
   */
  readonly keyLevels: number[];
  /** How many tokens were taken out of the queue. */
  taken: number;
}

export function scannerOver(source: Source): Scanner {
  return {
    ...cursorOver(source),
    flowLevel: 0,
    indent: -1,
    indents: [],
    simpleKeyAllowed: true,
    keys: [newKey(0)],
    queue: [],
    head: 0,
    keyLevels: [],
    taken: 0,
  };
}

/** The next token, which stays; undefined if there is none because of `failure`. */
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

/** Takes the token that was peeked at. */
export function takeToken(scanner: Scanner): void {
  scanner.taken++;
  scanner.head++;
  if (scanner.head > 1024) {
    scanner.queue.splice(0, scanner.head);
    scanner.keyLevels.splice(0, scanner.head);
    scanner.head = 0;
  }
}

function newKey(token: number): SimpleKey {
  return { possible: false, required: false, token, at: 0, line: 0, column: 0 };
}

function nextTokenNumber(scanner: Scanner): number {
  return scanner.taken + scanner.queue.length - scanner.head;
}

function makeToken(type: TokenType, { pos, line }: Cursor, end: number, value = "", suffix = ""): Token {
  return { type, at: pos, end, line, value, suffix };
}

function fetchToken(scanner: Scanner): boolean {
  if (!skipToToken(scanner)) return false;
  unrollIndent(scanner, column(scanner));
  if (!need(scanner, 4)) return false;
  const { pos } = scanner;
  if (pos >= scanner.text.length) return fetchStreamEnd(scanner);
  const unit = unitAt(scanner, pos);
  if (pos === scanner.lineStart) {
    if (unit === CH.percent) return fetchDirective(scanner);
    if (atDocumentMark(scanner)) return fetchDocumentMark(scanner, unit === CH.dash ? "---" : "...");
  }
  return fetchIndicator(scanner, unit) ?? fetchOther(scanner, unit);
}

/** Tokens told by their first character and the one behind it; undefined if it's none of them. */
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

/** Whether the character here stands alone. */
function isApart(scanner: Scanner): boolean {
  return isBlankOrEnd(unitAt(scanner, scanner.pos + 1));
}

function fetchOther(scanner: Scanner, unit: number): boolean {
  if (startsPlain(scanner, unit)) return fetchProperty(scanner, scanPlain);
  return scanError(scanner, "found character that cannot start any token");
}

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
function skipToToken(scanner: Scanner): boolean {
  for (;;) {
    if (!need(scanner, 1)) return false;
    skipByteOrderMark(scanner);
    if (!need(scanner, 1)) return false;
    const tabs = scanner.flowLevel > 0 || !scanner.simpleKeyAllowed;
    let unit = unitAt(scanner, scanner.pos);
    while (unit === CH.space || (tabs && unit === CH.tab)) {
      scanner.pos++;
      if (!need(scanner, 1)) return false;
      unit = unitAt(scanner, scanner.pos);
    }
    if (!skipComment(scanner)) return false;
    if (!isBreak(unitAt(scanner, scanner.pos))) return true;
    if (!need(scanner, 2)) return false;
    takeBreak(scanner);
    if (scanner.flowLevel === 0) scanner.simpleKeyAllowed = true;
  }
}

/** Whether the key may still find its colon; undefined if it must and can't. */
function usableKey(scanner: Scanner, key: SimpleKey): boolean | undefined {
  if (!key.possible) return false;
  const near =
    key.line === scanner.line &&
    (key.at + MAX_KEY_LENGTH >= scanner.pos ||
      indexAt(scanner, key.at) + MAX_KEY_LENGTH >= indexAt(scanner, scanner.pos));
  if (near) return true;
  key.possible = false;
  if (!key.required) return false;
  scanError(scanner, "could not find expected ':'", key.at);
  return undefined;
}

function currentKey(scanner: Scanner): SimpleKey {
  const key = scanner.keys[scanner.flowLevel];
  if (key === undefined) throw new Error("the scanner lost a flow level");
  return key;
}

/** Notes that the token about to come may be a key. */
function saveKey(scanner: Scanner): boolean {
  if (!scanner.simpleKeyAllowed) return true;
  if (!dropKey(scanner)) return false;
  const key = currentKey(scanner);
  key.possible = true;
  key.column = column(scanner);
  key.required = scanner.flowLevel === 0 && scanner.indent === key.column;
  key.token = nextTokenNumber(scanner);
  key.at = scanner.pos;
  key.line = scanner.line;
  scanner.keyLevels[scanner.queue.length] = scanner.flowLevel;
  return true;
}

function forgetLevel(scanner: Scanner, token: number): void {
  const place = token - scanner.taken + scanner.head;
  if (place >= scanner.head && place < scanner.keyLevels.length) scanner.keyLevels[place] = -1;
}

/** Gives up the possible key of this flow level. */
function dropKey(scanner: Scanner): boolean {
  const key = currentKey(scanner);
  if (!key.possible) return true;
  if (key.required) return scanError(scanner, "could not find expected ':'", key.at);
  key.possible = false;
  forgetLevel(scanner, key.token);
  return true;
}

function emit(scanner: Scanner, token: Token): true {
  scanner.queue.push(token);
  if (scanner.keyLevels.length < scanner.queue.length) scanner.keyLevels.push(-1);
  return true;
}

/** Emits a token of the next `length` characters and moves behind it. */
function emitMark(scanner: Scanner, type: TokenType, length: number): true {
  const token = makeToken(type, scanner, scanner.pos + length);
  scanner.pos += length;
  return emit(scanner, token);
}

/** Puts a token before the one with that number; at the end if that one is gone. */
function insert(scanner: Scanner, number: number, token: Token): void {
  const place = number - scanner.taken;
  if (place < 0) scanner.queue.push(token);
  else scanner.queue.splice(scanner.head + place, 0, token);
  if (scanner.keyLevels.length < scanner.queue.length) scanner.keyLevels.push(-1);
}

/** Opens a block collection if the column is deeper than the innermost one's. */
function rollIndent(scanner: Scanner, at: number, type: TokenType, before?: SimpleKey): boolean {
  if (scanner.flowLevel > 0 || scanner.indent >= at) return true;
  scanner.indents.push(scanner.indent);
  scanner.indent = at;
  if (scanner.indents.length > MAX_DEPTH) return scanError(scanner, `exceeded max depth of ${MAX_DEPTH}`);
  if (before === undefined) return emit(scanner, makeToken(type, scanner, scanner.pos));
  insert(scanner, before.token, keyToken(type, before));
  return true;
}

/** Closes the block collections that are deeper than the column. */
function unrollIndent(scanner: Scanner, at: number): void {
  if (scanner.flowLevel > 0) return;
  while (scanner.indent > at) {
    emit(scanner, makeToken("block end", scanner, scanner.pos));
    scanner.indent = scanner.indents.pop() ?? -1;
  }
}

function keyToken(type: TokenType, { at, line }: SimpleKey): Token {
  return { type, at, end: at, line, value: "", suffix: "" };
}

function fetchStreamEnd(scanner: Scanner): boolean {
  // As if the last line were complete; this is why Go's messages may name the line after the last.
  if (scanner.pos !== scanner.lineStart) {
    scanner.line++;
    scanner.lineStart = scanner.pos;
  }
  if (!leaveBlocks(scanner)) return false;
  return emit(scanner, makeToken("stream end", scanner, scanner.pos));
}

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

function fetchKey(scanner: Scanner): boolean {
  if (scanner.flowLevel === 0) {
    if (!scanner.simpleKeyAllowed) return scanError(scanner, "mapping keys are not allowed in this context");
    if (!rollIndent(scanner, column(scanner), "block mapping")) return false;
  }
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = scanner.flowLevel === 0;
  return emitMark(scanner, "key", 1);
}

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

/** Whatever may itself be a key, or begin one, and allows none right behind it. */
function fetchProperty(scanner: Scanner, scan: (scanner: Scanner) => Token | undefined): boolean {
  if (!saveKey(scanner)) return false;
  scanner.simpleKeyAllowed = false;
  const token = scan(scanner);
  return token !== undefined && emit(scanner, token);
}

function fetchBlockScalar(scanner: Scanner, literal: boolean): boolean {
  if (!dropKey(scanner)) return false;
  scanner.simpleKeyAllowed = true;
  const token = scanBlockScalar(scanner, literal);
  return token !== undefined && emit(scanner, token);
}

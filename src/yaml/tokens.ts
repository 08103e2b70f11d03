/** The scanner's state: the tokens that wait for a colon, what may be a key, and the indentation. */
import { type Cursor, column, cursorOver, indexAt, scanError } from "./cursor.ts";

export const MAX_DEPTH = 10_000; // of flow collections, and of indentation
const MAX_KEY_LENGTH = 1024;

export type TokenType =
  | "stream end"
  | "%YAML"
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

/** A piece of syntax. */
export interface Token {
  readonly type: TokenType;
  readonly at: number;
  readonly end: number;
  /** The scalar, the name of an anchor, the whole tag. */
  readonly value: string;
}

/** A token that may become a key, one per flow level. */
interface SimpleKey {
  possible: boolean;
  /** In block context at the mapping's own column only a key can be. */
  required: boolean;
  token: number;
  at: number;
  line: number;
  column: number;
}

/** The scanner: its place, and its memory. */
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
   * Beside the queue: the flow level whose simple key begins at the token of that number, or -1. An inserted token
   * moves the tokens after it, but not these, as libyaml goes by the number.
   */
  readonly keyLevels: number[];
  /** How many tokens were taken out of the queue. */
  taken: number;
}

/** A scanner at the beginning of the text. */
export function scannerOver(text: string): Scanner {
  return {
    ...cursorOver(text),
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

/** Takes the peeked token. */
export function takeToken(scanner: Scanner): void {
  scanner.taken++;
  scanner.head++;
  if (scanner.head > 1024) {
    scanner.queue.splice(0, scanner.head);
    scanner.keyLevels.splice(0, scanner.head);
    scanner.head = 0;
  }
}

/** A flow level's simple key before there is one. */
export function newKey(token: number): SimpleKey {
  return { possible: false, required: false, token, at: 0, line: 0, column: 0 };
}

/** The number of the token that is emitted next. */
export function nextTokenNumber(scanner: Scanner): number {
  return scanner.taken + scanner.queue.length - scanner.head;
}

/** A token that begins here. */
export function makeToken(type: TokenType, { pos }: Cursor, end: number): Token {
  return { type, at: pos, end, value: "" };
}

/** Whether the key may still find its colon; undefined if it must and cannot. */
export function usableKey(scanner: Scanner, key: SimpleKey): boolean | undefined {
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

/** The simple key of this flow level. */
export function currentKey(scanner: Scanner): SimpleKey {
  const key = scanner.keys[scanner.flowLevel];
  if (key === undefined) throw new Error("the scanner lost a flow level");
  return key;
}

/** Notes that the token about to come may be a key. */
export function saveKey(scanner: Scanner): boolean {
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

/** Forgets that the token of that number may be a key. */
export function forgetLevel(scanner: Scanner, token: number): void {
  const place = token - scanner.taken + scanner.head;
  if (place >= scanner.head && place < scanner.keyLevels.length) scanner.keyLevels[place] = -1;
}

/** Gives up the possible key of this flow level. */
export function dropKey(scanner: Scanner): boolean {
  const key = currentKey(scanner);
  if (!key.possible) return true;
  if (key.required) return scanError(scanner, "could not find expected ':'", key.at);
  key.possible = false;
  forgetLevel(scanner, key.token);
  return true;
}

/** Appends a token. */
export function emit(scanner: Scanner, token: Token): true {
  scanner.queue.push(token);
  if (scanner.keyLevels.length < scanner.queue.length) scanner.keyLevels.push(-1);
  return true;
}

/** Emits a token of the next `length` characters and moves past it. */
export function emitMark(scanner: Scanner, type: TokenType, length: number): true {
  const token = makeToken(type, scanner, scanner.pos + length);
  scanner.pos += length;
  return emit(scanner, token);
}

/** Puts a token before the one with that number; at the end if that one is gone. */
export function insert(scanner: Scanner, number: number, token: Token): void {
  const place = number - scanner.taken;
  if (place < 0) scanner.queue.push(token);
  else scanner.queue.splice(scanner.head + place, 0, token);
  if (scanner.keyLevels.length < scanner.queue.length) scanner.keyLevels.push(-1);
}

/** Opens a block collection if the column is deeper than the innermost one's. */
export function rollIndent(scanner: Scanner, at: number, type: TokenType, before?: SimpleKey): boolean {
  if (scanner.flowLevel > 0 || scanner.indent >= at) return true;
  scanner.indents.push(scanner.indent);
  scanner.indent = at;
  if (scanner.indents.length > MAX_DEPTH) return scanError(scanner, `exceeded max depth of ${MAX_DEPTH}`);
  if (before === undefined) return emit(scanner, makeToken(type, scanner, scanner.pos));
  insert(scanner, before.token, keyToken(type, before));
  return true;
}

/** Closes the block collections that are deeper than the column. */
export function unrollIndent(scanner: Scanner, at: number): void {
  if (scanner.flowLevel > 0) return;
  while (scanner.indent > at) {
    emit(scanner, makeToken("block end", scanner, scanner.pos));
    scanner.indent = scanner.indents.pop() ?? -1;
  }
}

/** A token of no length where a simple key begins. */
export function keyToken(type: TokenType, { at }: SimpleKey): Token {
  return { type, at, end: at, value: "" };
}

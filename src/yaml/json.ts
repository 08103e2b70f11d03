/**
 * JSON as Go's encoding/json scans it: the same grammar, limits and messages, but into nodes that keep their
 * places, every duplicate member, and numbers as written. JSON.parse would lose all three.
 */
import { isDigit } from "./cursor.ts";
import type { Failure, Member, Node } from "./node.ts";

/** The tree of a JSON text, or the first mistake. */
export type JsonParsed =
  | { readonly ok: true; readonly root: Node }
  | { readonly ok: false; readonly failure: Failure };

const MAX_DEPTH = 10_000;

const SPACE = 32;
const QUOTE = 34;
const PLUS = 43;
const COMMA = 44;
const MINUS = 45;
const POINT = 46;
const ZERO = 48;
const COLON = 58;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

type Container =
  | { readonly kind: "array"; readonly at: number; readonly items: Node[] }
  | { readonly kind: "object"; readonly at: number; readonly members: Member[] };

/** An open container. */
interface Frame {
  readonly node: Container;
  /** In an object: the key whose value is due, and its place. */
  key: string;
  keyAt: number;
}

interface Reader {
  readonly text: string;
  pos: number;
  readonly open: Frame[];
  failure: Failure | undefined;
}

/** Parses a JSON text of one value. */
export function parseJson(text: string): JsonParsed {
  const reader: Reader = { text, pos: 0, open: [], failure: undefined };
  const root = parseTop(reader);
  if (root !== undefined) return { ok: true, root };
  const end: Failure = { code: "syntax", message: "unexpected end of JSON input", at: text.length };
  return { ok: false, failure: reader.failure ?? end };
}

/** The unit here. Inside an incomplete value, Go treats the end of the input as a space. */
function peek({ text, pos }: Reader): number {
  return pos < text.length ? text.charCodeAt(pos) : SPACE;
}

/** JSON's four kinds of space; the others that Go knows only decide whether a file is JSON. */
function skipSpace(reader: Reader): void {
  for (; reader.pos < reader.text.length; reader.pos++) {
    const unit = reader.text.charCodeAt(reader.pos);
    if (unit !== SPACE && unit !== 10 && unit !== 13 && unit !== 9) return;
  }
}

function refuse(reader: Reader, context: string): undefined {
  const message = `invalid character ${quoteByte(peek(reader))} ${context}`;
  reader.failure = { code: "syntax", message, at: Math.min(reader.pos, reader.text.length) };
  return undefined;
}

/** `refuse`, but with a separate message at the end of the input. */
function refuseOrEnd(reader: Reader, context: string): undefined {
  return reader.pos < reader.text.length ? refuse(reader, context) : undefined;
}

/** A character as Go names it: by its first byte. */
function quoteByte(unit: number): string {
  const lead =
    unit < 0x80
      ? unit
      : unit < 0x800
        ? 0xc0 | (unit >> 6)
        : unit >= 0xd800 && unit <= 0xdbff
          ? 0xf0 | (((unit & 0x3ff) + 0x40) >> 8)
          : 0xe0 | (unit >> 12);
  const character = String.fromCharCode(lead);
  const named: Readonly<Record<string, string>> = {
    "'": "\\'",
    "\\": "\\\\",
    "\x07": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
  };
  const hex = lead.toString(16);
  if (lead < 0x20 || lead === 0x7f) return `'${named[character] ?? `\\x${hex.padStart(2, "0")}`}'`;
  const unprintable = (lead > 0x7f && lead <= 0xa0) || lead === 0xad;
  return `'${unprintable ? `\\u${hex.padStart(4, "0")}` : (named[character] ?? character)}'`;
}

/** Parses the only value; undefined with a failure, or if the text ends too early. */
function parseTop(reader: Reader): Node | undefined {
  let value = parseValue(reader);
  for (;;) {
    const frame = reader.open.at(-1);
    if (frame === undefined) break;
    if (reader.failure !== undefined) return undefined;
    if (value !== undefined) add(frame, value);
    value = parseNext(reader, frame, value === undefined);
    // Neither a value nor an open container: the text has ended.
    if (value === undefined && reader.open.at(-1) === frame) return undefined;
  }
  if (value === undefined) return undefined;
  skipSpace(reader);
  return reader.pos < reader.text.length ? refuse(reader, "after top-level value") : value;
}

/** Adds a value to the container it belongs to. */
function add({ node, key, keyAt }: Frame, value: Node): void {
  if (node.kind === "array") node.items.push(value);
  else node.members.push({ key, at: keyAt, value });
}

/** The container's next value, or the container itself if it ends here; undefined also if one was opened. */
function parseNext(reader: Reader, frame: Frame, first: boolean): Node | undefined {
  const isArray = frame.node.kind === "array";
  skipSpace(reader);
  const unit = reader.pos < reader.text.length ? peek(reader) : 0;
  if (unit === (isArray ? CLOSE_BRACKET : CLOSE_BRACE)) {
    reader.pos++;
    reader.open.pop();
    return frame.node;
  }
  if (!first) {
    if (unit !== COMMA)
      return refuseOrEnd(reader, isArray ? "after array element" : "after object key:value pair");
    reader.pos++;
  }
  return isArray || parseKey(reader, frame) ? parseValue(reader) : undefined;
}

/** A member's key and its colon; false with a failure, or at the end of the text. */
function parseKey(reader: Reader, frame: Frame): boolean {
  skipSpace(reader);
  if (reader.pos >= reader.text.length) return false;
  if (peek(reader) !== QUOTE) return refuse(reader, "looking for beginning of object key string") ?? false;
  frame.keyAt = reader.pos;
  const key = parseString(reader);
  if (key === undefined) return false;
  frame.key = key;
  skipSpace(reader);
  if (peek(reader) !== COLON) return refuseOrEnd(reader, "after object key") ?? false;
  reader.pos++;
  return true;
}

/** A scalar; or undefined, with a container opened, or with a failure, or at the end of the text. */
function parseValue(reader: Reader): Node | undefined {
  skipSpace(reader);
  const at = reader.pos;
  if (at >= reader.text.length) return undefined;
  const unit = peek(reader);
  switch (unit) {
    case OPEN_BRACE:
      return open(reader, { kind: "object", at, members: [] });
    case OPEN_BRACKET:
      return open(reader, { kind: "array", at, items: [] });
    case QUOTE: {
      const value = parseString(reader);
      return value === undefined ? undefined : { kind: "string", at, value };
    }
    case 116:
      return parseWord(reader, "true") ? { kind: "boolean", at, value: true } : undefined;
    case 102:
      return parseWord(reader, "false") ? { kind: "boolean", at, value: false } : undefined;
    case 110:
      return parseWord(reader, "null") ? { kind: "null", at } : undefined;
    default:
  }
  if (unit !== MINUS && !isDigit(unit)) return refuse(reader, "looking for beginning of value");
  if (!parseNumber(reader)) return undefined;
  return { kind: "number", at, literal: reader.text.slice(at, reader.pos) };
}

/** Opens a container, unless that is one too many. */
function open(reader: Reader, node: Container): undefined {
  reader.open.push({ node, key: "", keyAt: 0 });
  if (reader.open.length > MAX_DEPTH) return refuse(reader, "exceeded max depth");
  reader.pos++;
  return undefined;
}

/** `true`, `false` or `null`: the rest must match the first letter's word. */
function parseWord(reader: Reader, word: string): boolean {
  for (const letter of word) {
    if (peek(reader) !== letter.charCodeAt(0)) {
      return refuse(reader, `in literal ${word} (expecting '${letter}')`) ?? false;
    }
    reader.pos++;
  }
  return true;
}

/** Moves over a number in JSON's grammar, which is all that Go checks while it scans. */
function parseNumber(reader: Reader): boolean {
  if (peek(reader) === MINUS) reader.pos++;
  if (peek(reader) === ZERO) reader.pos++;
  else if (!parseDigits(reader, "in numeric literal")) return false;
  if (peek(reader) === POINT) {
    reader.pos++;
    if (!parseDigits(reader, "after decimal point in numeric literal")) return false;
  }
  if ((peek(reader) | 0x20) !== 101) return true;
  reader.pos++;
  if (peek(reader) === PLUS || peek(reader) === MINUS) reader.pos++;
  return parseDigits(reader, "in exponent of numeric literal");
}

/** One digit at least. */
function parseDigits(reader: Reader, context: string): boolean {
  if (!isDigit(peek(reader))) return refuse(reader, context) ?? false;
  while (isDigit(peek(reader))) reader.pos++;
  return true;
}

/** Reads the string whose quote is here. */
function parseString(reader: Reader): string | undefined {
  const { text } = reader;
  let value = "";
  let from = ++reader.pos;
  for (; reader.pos < text.length; reader.pos++) {
    const unit = text.charCodeAt(reader.pos);
    if (unit === QUOTE) {
      const run = text.slice(from, reader.pos++);
      return value === "" ? run : value + run;
    }
    if (unit < SPACE) return refuse(reader, "in string literal");
    if (unit !== BACKSLASH) continue;
    value += text.slice(from, reader.pos);
    const escaped = parseEscape(reader);
    if (escaped === undefined) return undefined;
    value += escaped;
    from = reader.pos;
    reader.pos--;
  }
  return undefined;
}

/** The character of the escape sequence that begins here. */
function parseEscape(reader: Reader): string | undefined {
  reader.pos++;
  const name = reader.text.charAt(reader.pos);
  const character = ESCAPES[name];
  if (character !== undefined) {
    reader.pos++;
    return character;
  }
  if (name !== "u") return refuse(reader, "in string escape code");
  reader.pos++;
  const unit = parseHex(reader);
  if (unit === undefined) return undefined;
  if ((unit & 0xf800) !== 0xd800) return String.fromCharCode(unit);
  // A high surrogate with its low one makes a character, each alone makes U+FFFD.
  const low = /^\\u(d[c-f][0-9a-f]{2})/i.exec(reader.text.slice(reader.pos, reader.pos + 6))?.[1];
  if (unit >= 0xdc00 || low === undefined) return "\uFFFD";
  reader.pos += 6;
  return String.fromCharCode(unit, Number.parseInt(low, 16));
}

/** The four digits of \u. */
function parseHex(reader: Reader): number | undefined {
  let value = 0;
  for (let i = 0; i < 4; i++, reader.pos++) {
    const digit = Number.parseInt(String.fromCharCode(peek(reader)), 16);
    if (Number.isNaN(digit)) return refuse(reader, "in \\u hexadecimal character escape");
    value = value * 16 + digit;
  }
  return value;
}

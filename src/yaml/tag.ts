/** Anchors, aliases, tags, and the directive %YAML. */
import { isBlankOrEnd, isWord, scanError, takeBreak, unitAt } from "./cursor.ts";
import type { Scanner, Token } from "./tokens.ts";

const AFTER_NAME = "?:,]}%@`";
/** Escaped octets stay as they are written. */
const URI = "(?:[-\\w;/?:@&=+$,.!~*'()[\\]]|%[0-9A-Fa-f]{2})+";
/** `!<uri>`, `!handle!suffix` (`!!suffix` if the handle has no name), `!suffix` or `!`. */
const TAG = new RegExp(`!(?:<(${URI})>|([-\\w]*)!(${URI})|((?![-\\w]*!)(?:${URI})?))`, "y");
const VERSION = /%YAML[ \t]+1\.1[ \t]*(?:#[^\r\n\u0085\u2028\u2029]*)?(?=[\r\n\u0085\u2028\u2029]|$)/y;

/** Scans `*name` or `&name`. */
export function scanName(scanner: Scanner, type: "alias" | "anchor"): Token | undefined {
  const { pos: at } = scanner;
  scanner.pos++;
  while (isWord(unitAt(scanner, scanner.pos))) scanner.pos++;
  const value = scanner.text.slice(at + 1, scanner.pos);
  const next = unitAt(scanner, scanner.pos);
  if (value === "" || !(isBlankOrEnd(next) || AFTER_NAME.includes(String.fromCharCode(next)))) {
    return refuse(scanner, "did not find expected alphabetic or numeric character");
  }
  return { type, at, end: scanner.pos, value };
}

/** Scans a tag. The token's value is the whole tag: `tag:yaml.org,2002:int` for `!!int`. */
export function scanTag(scanner: Scanner): Token | undefined {
  const { pos: at } = scanner;
  TAG.lastIndex = at;
  const [all = "!", uri, handle = "", core, own = ""] = TAG.exec(scanner.text) ?? [];
  if (handle !== "") return refuse(scanner, "found undefined tag handle");
  scanner.pos += all.length;
  if (!isBlankOrEnd(unitAt(scanner, scanner.pos))) {
    return refuse(scanner, "did not find expected whitespace or line break");
  }
  const value = uri ?? (core === undefined ? `!${own}` : `tag:yaml.org,2002:${core}`);
  return { type: "tag", at, end: scanner.pos, value };
}

/** Scans a line that begins with `%`: the version that we read is the only directive. */
export function scanDirective(scanner: Scanner): Token | undefined {
  const { pos: at } = scanner;
  VERSION.lastIndex = at;
  const [line] = VERSION.exec(scanner.text) ?? [];
  if (line === undefined) {
    const isVersion = scanner.text.startsWith("%YAML", at);
    return refuse(scanner, isVersion ? "found incompatible YAML document" : "found unknown directive name");
  }
  scanner.pos += line.length;
  takeBreak(scanner);
  return { type: "%YAML", at, end: scanner.pos, value: "" };
}

function refuse(scanner: Scanner, problem: string): undefined {
  scanError(scanner, problem);
  return undefined;
}

/**
 * Strings as Go has them, which are bytes and need be no UTF-8: JSON's as a file may have them, and !!binary.
 * Such a byte is kept as the lone surrogate U+DC00 + byte, so that two different keys stay different and sort
 * as in Go, until the string is shown, when encoding/json puts U+FFFD for each.
 */

const REPLACEMENT = 0xfffd;
const LONE_BYTE = 0xdc00;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Go's base64.StdEncoding: padded, line breaks anywhere, the bits left over ignored. */
export function decodeBase64(text: string): string | undefined {
  const packed = text.replace(/[\r\n]/g, "");
  if (!BASE64.test(packed)) return undefined;
  const padding = packed.endsWith("==") ? 2 : packed.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((packed.length / 4) * 3 - padding);
  for (let i = 0, at = 0; i < packed.length; i += 4, at += 3) {
    let bits = 0;
    for (let j = 0; j < 4; j++) bits = (bits << 6) | Math.max(ALPHABET.indexOf(packed.charAt(i + j)), 0);
    // What lies behind the array's end is dropped.
    bytes[at] = bits >> 16;
    bytes[at + 1] = (bits >> 8) & 0xff;
    bytes[at + 2] = bits & 0xff;
  }
  return decodeBytes(bytes);
}

/** Go's order of strings: by their bytes, which is not that of UTF-16 units above U+D7FF. Sorts in place. */
export function sortByBytes<T>(list: T[], text: (item: T) => string): T[] {
  if (list.some((item) => BEYOND_ORDER.test(text(item)))) {
    const bytes = new Map(list.map((item) => [item, Array.from(text(item), utf8Bytes).join("")]));
    return list.sort((a, b) => ((bytes.get(a) ?? "") < (bytes.get(b) ?? "") ? -1 : 1));
  }
  return list.sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

const BEYOND_ORDER = /[\uD800-\uFFFF]/;

/** A character's bytes, one per unit. */
function utf8Bytes(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (isLoneByte(code)) return String.fromCharCode(code & 0xff);
  return String.fromCharCode(...new TextEncoder().encode(character));
}

/** Bytes as text, each byte that is no UTF-8 as the lone surrogate U+DC00 + byte. */
export function decodeBytes(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8; TextDecoder could replace, too, but would make one U+FFFD of what Go makes several of.
  }
  const units = new Uint16Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const width = utf8Width(bytes, at);
    const code = width === 0 ? LONE_BYTE | (bytes[at] ?? 0) : codePoint(bytes, at, width);
    if (code < 0x10000) {
      units[length++] = code;
    } else {
      units[length++] = 0xd7c0 + (code >> 10);
      units[length++] = 0xdc00 | (code & 0x3ff);
    }
    at += width || 1;
  }
  return fromUnits(units.subarray(0, length));
}

function codePoint(bytes: Uint8Array, at: number, width: number): number {
  const lead = bytes[at] ?? 0;
  let code = width === 1 ? lead : lead & (0xff >> (width + 1));
  for (let i = 1; i < width; i++) code = (code << 6) | ((bytes[at + i] ?? 0) & 0x3f);
  return code;
}

function fromUnits(units: Uint16Array): string {
  const pieces: string[] = [];
  for (let at = 0; at < units.length; at += 8192) {
    pieces.push(String.fromCharCode(...units.subarray(at, at + 8192)));
  }
  return pieces.join("");
}

/** Whether a unit of decodeBytes' text, known to be no half of a pair, is a byte that is no UTF-8. */
export function isLoneByte(code: number): boolean {
  return code >= 0xdc80 && code <= 0xdcff;
}

/** Puts U+FFFD for what decodeBytes couldn't decode; the length stays. */
export function replaceLoneBytes(text: string): string {
  if (!/[\uDC80-\uDCFF]/.test(text)) return text;
  const units = new Uint16Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    units[at] = unit;
    // The second half of a pair is taken together with the first, so that any other is alone.
    if ((unit & 0xfc00) === 0xd800) units[++at] = text.charCodeAt(at);
    else if (isLoneByte(unit)) units[at] = REPLACEMENT;
  }
  return fromUnits(units);
}

/** The width of the UTF-8 character at an offset, 0 if there is none. */
function utf8Width(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const width = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  const second = bytes[at + 1] ?? 0;
  // Overlong forms, surrogates, and what is above U+10FFFF.
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let i = 2; i < width; i++) {
    if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return width;
}

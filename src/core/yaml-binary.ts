/**
 * Strings as Go has them, which are bytes: !!binary can hold what is no UTF-8. Such a byte is kept as the lone
 * surrogate U+DC00 + byte, so that two different keys stay different and sort as in Go, until the string is
 * shown, when encoding/json puts U+FFFD for it.
 */
import { decodeBytes, isLoneByte } from "./json.ts";

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

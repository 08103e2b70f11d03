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

/** Go's order of strings: by their bytes, which isn't that of UTF-16 units. */
export function byBytes<T>(list: T[], text: (item: T) => string): T[] {
  const plain = list.every((item) => !/[\uD800-\uFFFF]/.test(text(item)));
  if (plain) return list.sort((a, b) => (text(a) < text(b) ? -1 : 1));
  const keyed = list.map((item) => ({ item, bytes: Array.from(text(item), utf8Bytes).join("") }));
  return keyed.sort((a, b) => (a.bytes < b.bytes ? -1 : 1)).map(({ item }) => item);
}

/** A character's bytes, one per unit. */
function utf8Bytes(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (isLoneByte(code)) return String.fromCharCode(code & 0xff);
  return String.fromCharCode(...new TextEncoder().encode(character));
}

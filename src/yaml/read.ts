/**
 * Bytes -> text, as libyaml's reader does it: UTF-8, or UTF-16 with a byte order mark, of printable characters.
 *
 * That reader takes 512 bytes at a time and only when the scanner asks for more, so text that is bad behind
 * the end of the first document goes unseen, or not, depending on where the 512 bytes end. `bounds` are those
 * ends; they are there only if somebody can tell the difference, see cursor.ts.
 */

const CHUNK_BYTES = 512;
// Everything else is allowed: tab, LF, CR, printable ASCII, NEL, U+A0 to U+D7FF, U+E000 to U+FFFD, and above.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u0084\u0086-\u009F\uFFFE\uFFFF]/;
const BYTE_ORDER_MARK = "\uFEFF";

/** Why the text ends where it does, and the offset in `text` at which it would have gone on. */
export interface ReadFailure {
  readonly message: string;
  readonly at: number;
}

export interface Source {
  /** Without its byte order mark; up to the first bad character if there is one. */
  readonly text: string;
  /** Ends of the reader's portions, counted in code points; absent where they don't matter. */
  readonly bounds?: readonly number[];
  readonly failure?: ReadFailure;
}

interface Encoding {
  readonly markBytes: number;
  /** Bytes that a code point takes in the file. */
  readonly width: (codePoint: number) => number;
}

/** How the valid beginning of the bytes ended. */
interface Decoded {
  readonly text: string;
  readonly problem?: string;
  /** Bytes of the character that is the problem; none if the file ends in the middle of it. */
  readonly badBytes?: number;
}

const UTF8: Encoding = {
  markBytes: 0,
  width: (codePoint) => (codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4),
};
const UTF8_MARKED: Encoding = { ...UTF8, markBytes: 3 };
const UTF16: Encoding = { markBytes: 2, width: (codePoint) => (codePoint < 0x10000 ? 2 : 4) };

export function readYaml(bytes: Uint8Array): Source {
  const [a, b, c] = bytes;
  if (a === 0xff && b === 0xfe) return source(decodeUtf16(bytes, 0, 1), UTF16, bytes.length);
  if (a === 0xfe && b === 0xff) return source(decodeUtf16(bytes, 1, 0), UTF16, bytes.length);
  const marked = a === 0xef && b === 0xbb && c === 0xbf;
  return source(decodeUtf8(marked ? bytes.subarray(3) : bytes), marked ? UTF8_MARKED : UTF8, bytes.length);
}

function source(decoded: Decoded, encoding: Encoding, size: number): Source {
  const forbidden = decoded.text.search(FORBIDDEN);
  if (forbidden >= 0) {
    const text = decoded.text.slice(0, forbidden);
    const bytes = encoding.width(decoded.text.charCodeAt(forbidden));
    const bounds = portions(text, encoding, bytes);
    return { text, bounds, failure: { message: "control characters are not allowed", at: forbidden } };
  }
  const { text, problem } = decoded;
  if (problem !== undefined) {
    const bounds = portions(text, encoding, decoded.badBytes ?? 1);
    // An incomplete character is noticed only when the file's end is, and in less than three bytes that is at once.
    if (decoded.badBytes === undefined) bounds[bounds.length] = size < 3 ? 0 : codePoints(text);
    return { text, bounds, failure: { message: problem, at: text.length } };
  }
  // Byte order marks further on are the one thing for which the reader's portions matter in good text.
  if (!text.includes(BYTE_ORDER_MARK)) return { text };
  const bounds = portions(text, encoding, 0);
  bounds.push(codePoints(text));
  return { text, bounds };
}

/** Where the portions before the one with the character after `text` (of `nextBytes`) end. */
function portions(text: string, encoding: Encoding, nextBytes: number): number[] {
  const bounds: number[] = [];
  let left = CHUNK_BYTES - encoding.markBytes;
  let index = 0;
  const take = (bytes: number) => {
    // A character that doesn't fit waits for the next portion.
    if (bytes > left) {
      bounds.push(index);
      left = CHUNK_BYTES;
    }
    left -= bytes;
    index++;
  };
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const wide = (unit & 0xfc00) === 0xd800;
    take(encoding.width(wide ? 0x10000 : unit));
    if (wide) at++;
  }
  take(nextBytes);
  return bounds;
}

function codePoints(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    if ((text.charCodeAt(at) & 0xfc00) !== 0xdc00) count++;
  }
  return count;
}

function decodeUtf8(bytes: Uint8Array): Decoded {
  const whole = decodeStrictly(bytes);
  if (whole !== undefined) return { text: whole };
  let offset = 0;
  for (;;) {
    const step = utf8Step(bytes, offset);
    if (typeof step !== "number") {
      return { ...step, text: decodeStrictly(bytes.subarray(0, offset)) ?? "" };
    }
    offset += step;
  }
}

function decodeStrictly(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // The only way TextDecoder has to say no.
    return undefined;
  }
}

/** The width of a character, or what is wrong with it, in libyaml's order of checks. */
function utf8Step(bytes: Uint8Array, offset: number): number | Omit<Decoded, "text"> {
  const lead = bytes[offset] ?? 0;
  const width = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
  if (width === 0) return { problem: "invalid leading UTF-8 octet", badBytes: 1 };
  if (offset + width > bytes.length) return { problem: "incomplete UTF-8 octet sequence" };
  let value = width === 1 ? lead : lead & (0xff >> (width + 1));
  for (let i = 1; i < width; i++) {
    const octet = bytes[offset + i] ?? 0;
    if ((octet & 0xc0) !== 0x80) return { problem: "invalid trailing UTF-8 octet", badBytes: width };
    value = (value << 6) | (octet & 0x3f);
  }
  if (UTF8.width(value) !== width && value <= 0x10ffff) {
    return { problem: "invalid length of a UTF-8 sequence", badBytes: width };
  }
  if ((value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) {
    return { problem: "invalid Unicode character", badBytes: width };
  }
  return width;
}

/** `low` and `high` say which byte of a pair is which. */
function decodeUtf16(bytes: Uint8Array, low: number, high: number): Decoded {
  const unit = (at: number) => (bytes[at + low] ?? 0) | ((bytes[at + high] ?? 0) << 8);
  const pieces: string[] = [];
  let units: number[] = [];
  const text = () => pieces.join("") + String.fromCharCode(...units);
  for (let at = 2; at < bytes.length; at += 2) {
    if (at + 2 > bytes.length) return { text: text(), problem: "incomplete UTF-16 character" };
    const value = unit(at);
    if ((value & 0xfc00) === 0xdc00)
      return { text: text(), problem: "unexpected low surrogate area", badBytes: 2 };
    units.push(value);
    if ((value & 0xfc00) === 0xd800) {
      const incomplete = at + 4 > bytes.length;
      if (incomplete || (unit(at + 2) & 0xfc00) !== 0xdc00) {
        units.pop();
        if (incomplete) return { text: text(), problem: "incomplete UTF-16 surrogate pair" };
        return { text: text(), problem: "expected low surrogate area", badBytes: 4 };
      }
      at += 2;
      units.push(unit(at));
    }
    if (units.length >= 4096) {
      pieces.push(String.fromCharCode(...units));
      units = [];
    }
  }
  return { text: text() };
}

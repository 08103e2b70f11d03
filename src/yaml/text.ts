/** Bytes -> text: UTF-8, or UTF-16 with a byte order mark, of printable characters. */
import type { Failure } from "./node.ts";

// All others are allowed: tab, LF, CR, printable ASCII, NEL, U+A0 to U+D7FF, U+E000 to U+FFFD, and above.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for them
const FORBIDDEN = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u0084\u0086-\u009F\uFFFE\uFFFF]/;
/** TextDecoder's replacement for bytes that it cannot decode. */
const REPLACEMENT = "\uFFFD";

interface Encoding {
  readonly name: "UTF-8" | "UTF-16LE" | "UTF-16BE";
  /** The bytes of a U+FFFD that the file itself has. */
  readonly replacement: readonly number[];
  /** How many bytes a unit of the text takes; a half of a pair takes half of the pair's. */
  readonly width: (unit: number) => number;
}

const UTF8: Encoding = {
  name: "UTF-8",
  replacement: [0xef, 0xbf, 0xbd],
  width: (unit) => (unit < 0x80 ? 1 : unit < 0x800 || (unit & 0xf800) === 0xd800 ? 2 : 3),
};
const UTF16LE: Encoding = { name: "UTF-16LE", replacement: [0xfd, 0xff], width: () => 2 };
const UTF16BE: Encoding = { name: "UTF-16BE", replacement: [0xff, 0xfd], width: () => 2 };

/** A decoded text, and its fault. */
export interface Text {
  /** Without its byte order mark. */
  readonly text: string;
  readonly failure?: Failure;
}

/** The text of YAML. A bad character is an error anywhere, also after the end of the first document. */
export function decodeText(bytes: Uint8Array): Text {
  const [a, b, c] = bytes;
  if (a === 0xff && b === 0xfe) return decode(bytes.subarray(2), UTF16LE);
  if (a === 0xfe && b === 0xff) return decode(bytes.subarray(2), UTF16BE);
  return decode(a === 0xef && b === 0xbb && c === 0xbf ? bytes.subarray(3) : bytes, UTF8);
}

function decode(bytes: Uint8Array, encoding: Encoding): Text {
  const text = new TextDecoder(encoding.name, { ignoreBOM: true }).decode(bytes);
  const bad = badAt(bytes, text, encoding);
  if (bad >= 0) return refuse(text, `not valid ${encoding.name}`, bad);
  const at = text.search(FORBIDDEN);
  return at < 0 ? { text } : refuse(text, "control characters are not allowed", at);
}

function refuse(text: string, problem: string, at: number): Text {
  return { text, failure: { code: "encoding", message: `yaml: ${problem}`, at } };
}

/** The first U+FFFD that is not the file's own; -1 if there is none. */
function badAt(bytes: Uint8Array, text: string, { replacement, width }: Encoding): number {
  if (!text.includes(REPLACEMENT)) return -1;
  for (let at = 0, offset = 0; at < text.length; at++) {
    if (text[at] === REPLACEMENT && replacement.some((byte, i) => bytes[offset + i] !== byte)) return at;
    offset += width(text.charCodeAt(at));
  }
  return -1;
}

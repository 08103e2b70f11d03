/**
 * The front of this library: a document, in JSON or YAML 1.1, as the Go program reads it (README.md).
 *
 * That program reads text that begins with `{` as JSON (k8s.io/apimachinery's yaml.ToJSON) and converts all other text
 * from YAML to JSON (sigs.k8s.io/yaml 1.3.0 over gopkg.in/yaml.v2 2.4.0); encoding/json then decodes either.
 */
import { decodeYaml, type ReplacedKey } from "./decode.ts";
import { parseJson } from "./json.ts";
import type { Failure, Node } from "./node.ts";
import { parseYaml } from "./parse.ts";
import { decodeText } from "./text.ts";
import type { Token } from "./tokens.ts";

/** A tree, or the first mistake. Offsets count in `text`; `locator` and `positionAt` turn them into lines and columns. */
export type DocumentRead =
  | { readonly ok: true; readonly document: Document }
  | { readonly ok: false; readonly text: string; readonly failure: Failure };

/** A readable document. */
export interface Document {
  readonly format: "json" | "yaml";
  /** The decoded text. */
  readonly text: string;
  /**
   * The members of JSON are in the file's order, duplicates included; those of YAML are unique and sorted, as in Go's
   * JSON. A value that an alias or a merge brings in has the place where it is written, at the anchor.
   */
  readonly root: Node;
  readonly swallowed: Swallowed;
}

/** The parts of a document that Go skips in silence. */
export interface Swallowed {
  /** Where the unread text begins, and whether a mark ends the document there, or only the indentation. */
  readonly unread?: { readonly at: number; readonly isMarked: boolean };
  /** Replaced outermost keys of YAML; JSON's are all in the tree. */
  readonly replaced: readonly ReplacedKey[];
  /** The offsets of the nodes that have aliases. */
  readonly aliased: ReadonlySet<number>;
}

/** Reads a document from its bytes. */
export function readDocument(bytes: Uint8Array): DocumentRead {
  return startsLikeJson(bytes) ? readJson(bytes) : readYaml(bytes);
}

function readJson(bytes: Uint8Array): DocumentRead {
  const text = new TextDecoder().decode(bytes);
  const parsed = parseJson(text);
  if (!parsed.ok) return { ok: false, text, failure: parsed.failure };
  const swallowed = { replaced: [], aliased: new Set<number>() };
  return { ok: true, document: { format: "json", text, root: parsed.root, swallowed } };
}

function readYaml(bytes: Uint8Array): DocumentRead {
  const { text, failure } = decodeText(bytes);
  if (failure !== undefined) return { ok: false, text, failure };
  const parsed = parseYaml(text);
  if (!parsed.ok) return { ok: false, text, failure: parsed.failure };
  const { aliased, next } = parsed;
  const unread = next === undefined ? undefined : unreadFrom(text, next);
  // No document at all is null to Go.
  const none = { ok: true, root: { kind: "null", at: 0 }, replaced: [] } as const;
  const decoded = parsed.root === undefined ? none : decodeYaml(parsed.root);
  if (!decoded.ok) return { ok: false, text, failure: decoded.failure };
  const { root, replaced } = decoded;
  const swallowed = { replaced, aliased, ...(unread === undefined ? {} : { unread }) };
  return { ok: true, document: { format: "yaml", text, root, swallowed } };
}

/** A line with nothing to read: blank, a comment, or a mark between documents. */
const EMPTY_LINE = /(?:(?:---|\.\.\.)(?=\s|$))?[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n|$)/y;

/** The first text after the document; a mark without text after it loses nothing. */
function unreadFrom(text: string, next: Token): Swallowed["unread"] {
  let { at } = next;
  while (at < text.length) {
    EMPTY_LINE.lastIndex = at;
    if (!EMPTY_LINE.test(text)) return { at, isMarked: ["---", "...", "%YAML"].includes(next.type) };
    at = EMPTY_LINE.lastIndex;
  }
  return undefined;
}

/**
 * Whether the first character that Go's unicode.IsSpace does not know is `{`. It knows more spaces than
 * encoding/json, so a no-break space before the brace makes the file JSON, and bad JSON.
 */
function startsLikeJson(bytes: Uint8Array): boolean {
  let at = 0;
  for (let width = spaceWidth(bytes, at); width > 0; width = spaceWidth(bytes, at)) at += width;
  return bytes[at] === 0x7b;
}

function spaceWidth(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3);
  if (a === 0x20 || (a >= 9 && a <= 13)) return 1;
  if (a === 0xc2) return b === 0x85 || b === 0xa0 ? 2 : 0;
  const code = ((a & 0x0f) << 12) | ((b & 0x3f) << 6) | (c & 0x3f);
  const valid = (a & 0xf0) === 0xe0 && (b & 0xc0) === 0x80 && (c & 0xc0) === 0x80;
  return valid && WIDE_SPACES.test(String.fromCharCode(code)) ? 3 : 0;
}

const WIDE_SPACES = /[\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]/;

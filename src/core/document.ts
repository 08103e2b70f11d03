/**
 * A configuration document: JSON or YAML 1.1 text, read as the Go program reads it,
 * as a tree whose nodes know where they stand.
 *
 * The Go program takes what begins with `{` for JSON (k8s.io/apimachinery's yaml.ToJSON) and converts the rest
 * from YAML to JSON (sigs.k8s.io/yaml 1.3.0 over gopkg.in/yaml.v2 2.4.0); encoding/json then decodes either. What
 * is accepted, refused and understood here is what those make of it, quirks included; test/oracle compares.
 */

import { decodeBytes, replaceLoneBytes } from "../yaml/bytes.ts";
import { decodeYaml, type ReplacedKey } from "../yaml/decode.ts";
import { parseJson } from "../yaml/json.ts";
import type { Node } from "../yaml/node.ts";
import { parseYaml } from "../yaml/parse.ts";
import { positionAt } from "../yaml/positions.ts";
import { readYaml, type Source as YamlSource } from "../yaml/read.ts";
import type { Token } from "../yaml/tokens.ts";
import type { Problem, ProblemCode, Result } from "./problem.ts";
import { syntaxHint } from "./text-hints.ts";

export interface Document {
  readonly format: "json" | "yaml";
  /** The decoded text, which `at` counts in. */
  readonly text: string;
  readonly root: Node;
  /** What was read over without a word, as Go does. */
  readonly swallowed: Swallowed;
}

/** What a document holds beside its tree. */
export interface Swallowed {
  /** Where text begins that is not read, and whether a mark ends the document there, or nothing but the indentation. */
  readonly unread?: { readonly at: number; readonly isMarked: boolean };
  /** Outermost keys of YAML that gave way to others; JSON's are all in the tree. */
  readonly replaced: readonly ReplacedKey[];
  /** Where the nodes begin that aliases mean. */
  readonly aliased: ReadonlySet<number>;
}

/**
 * Reads a document, or says what is wrong with it in Go's words. Nodes from JSON are in the file's order,
 * duplicates included; from YAML they are unique and sorted, as Go's JSON is. What an alias or a merge
 * brings in stands where it is written, at the anchor.
 */
export function parseDocument(bytes: Uint8Array, path: string): Result<Document> {
  return startsLikeJson(bytes) ? parseJsonDocument(bytes, path) : parseYamlDocument(bytes, path);
}

function refuse(
  path: string,
  code: ProblemCode,
  message: string,
  text: string,
  at: number,
): Result<Document> {
  const hint = code === "syntax" ? syntaxHint(message, text, at) : undefined;
  const problem: Problem = { code, path, ...positionAt(text, at), message };
  return { ok: false, problems: [hint === undefined ? problem : { ...problem, hint }] };
}

function parseJsonDocument(bytes: Uint8Array, path: string): Result<Document> {
  const raw = decodeBytes(bytes);
  const parsed = parseJson(raw);
  const text = replaceLoneBytes(raw);
  if (!parsed.ok) return refuse(path, "syntax", parsed.message, text, parsed.at);
  const swallowed = { replaced: [], aliased: new Set<number>() };
  return { ok: true, value: { format: "json", text, root: parsed.root, swallowed } };
}

function parseYamlDocument(bytes: Uint8Array, path: string): Result<Document> {
  const source = readYaml(bytes);
  const { text } = source;
  const parsed = parseYaml(source);
  const decoded = parsed.ok && parsed.root !== undefined ? decodeYaml(parsed.root) : undefined;
  const failure = !parsed.ok ? parsed.failure : decoded?.ok === false ? decoded.failure : undefined;
  if (failure !== undefined) return refuse(path, failure.code, failure.message, text, failure.at);
  // No document at all is null to Go.
  const root: Node = decoded?.ok ? decoded.root : { kind: "null", at: 0 };
  const swallowed = {
    ...(parsed.ok && parsed.behind !== undefined ? unreadFrom(source, parsed.behind) : {}),
    replaced: decoded?.ok ? decoded.replaced : [],
    aliased: parsed.ok ? parsed.aliased : new Set<number>(),
  };
  return { ok: true, value: { format: "yaml", text, root, swallowed } };
}

/** A line with nothing to read: blank, a comment, or a mark between documents. */
const EMPTY_LINE = /(?:(?:---|\.\.\.)(?=\s|$))?[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n|$)/y;

/** What begins behind the document; a mark that nothing follows is no loss. */
function unreadFrom({ text, failure }: YamlSource, behind: Token): Pick<Swallowed, "unread"> {
  const isMarked = ["---", "...", "%YAML", "%TAG"].includes(behind.type);
  let { at } = behind;
  while (at < text.length) {
    EMPTY_LINE.lastIndex = at;
    if (!EMPTY_LINE.test(text)) return { unread: { at, isMarked } };
    at = EMPTY_LINE.lastIndex;
  }
  return failure === undefined ? {} : { unread: { at, isMarked } };
}

/**
 * Whether the first character that Go's unicode.IsSpace doesn't know is `{`. It knows more spaces than
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

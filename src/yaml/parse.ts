/**
 * YAML tokens -> the tree of the first document, anchors tied to their aliases.
 *
 * The grammar is YAML 1.1's as libyaml reads it, which is laxer in places: of the text after a complete document one token
 * is read, and `[?]` swallows its bracket.
 */
import type { Failure } from "./node.ts";
import { parseStep } from "./parse-collection.ts";
import { emptyScalar, type Parser, parseError, parseNode, type YamlNode } from "./parse-node.ts";
import { peekToken } from "./scan.ts";
import { scannerOver, type Token, takeToken } from "./tokens.ts";

/** The tree of the first document, or the first mistake. */
export type YamlParsed =
  | {
      readonly ok: true;
      /** None if there is no document. */
      readonly root: YamlNode | undefined;
      /** The token after the document, where reading ends; none at the end of the text. */
      readonly next?: Token;
      /** Where the nodes begin that aliases mean. */
      readonly aliased: ReadonlySet<number>;
    }
  | { readonly ok: false; readonly failure: Failure };

/** Parses the first document of a YAML text. */
export function parseYaml(text: string): YamlParsed {
  const scanner = scannerOver(text);
  const aliased = new Set<number>();
  const parser: Parser = { scanner, frames: [], anchors: new Map(), aliased };
  const root = parseDocumentNode(parser);
  if (scanner.failure !== undefined) return { ok: false, failure: scanner.failure };
  const next = peekToken(scanner);
  return next === undefined || next.type === "stream end"
    ? { ok: true, root, aliased }
    : { ok: true, root, next, aliased };
}

/** The first document's root; undefined if there is none, or with a failure. */
function parseDocumentNode(parser: Parser): YamlNode | undefined {
  const { scanner } = parser;
  const first = peekToken(scanner);
  if (first === undefined || first.type === "stream end") return undefined;
  const explicit = first.type === "---" || first.type === "%YAML";
  if (first.type === "%YAML") takeToken(scanner);
  const token = peekToken(scanner);
  if (token === undefined) return undefined;
  if (explicit) {
    if (token.type !== "---") return parseError(parser, "did not find expected <document start>", token);
    takeToken(scanner);
  }
  const root = explicit ? parseExplicitContent(parser) : parseNode(parser, true, false);
  if (root === undefined) return undefined;
  while (parser.frames.length > 0) {
    if (!parseStep(parser)) return undefined;
  }
  // The token after the document is read, whatever it is.
  return peekToken(scanner) === undefined ? undefined : root;
}

/** The node after `---`, which may be left out. */
function parseExplicitContent(parser: Parser): YamlNode | undefined {
  const token = peekToken(parser.scanner);
  if (token === undefined) return undefined;
  const { type } = token;
  const empty = type === "%YAML" || type === "---" || type === "..." || type === "stream end";
  return empty ? emptyScalar(token.at) : parseNode(parser, true, false);
}

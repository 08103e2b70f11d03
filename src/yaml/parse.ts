/**
 * YAML tokens -> the tree of the first document, anchors tied to their aliases.
 *
 * The grammar is YAML 1.1's as libyaml reads it, which is laxer in places: of the text after a complete document
 * one token is read, and `[?]` swallows its bracket. Each collection that is open is a frame
 * on a stack of our own, since 20,000 of them can be, more than JavaScript's stack takes.
 */
import { scanError } from "./cursor.ts";
import type { Failure } from "./node.ts";
import { peekToken } from "./scan.ts";
import { type Scanner, scannerOver, type Token, type TokenType, takeToken } from "./tokens.ts";

export interface YamlScalar {
  readonly kind: "scalar";
  readonly at: number;
  readonly text: string;
  /** The whole tag, `tag:yaml.org,2002:int` for `!!int`; empty if there is none. */
  readonly tag: string;
  /** Whether the text may decide the type: it is plain, or its tag is `!`. */
  readonly implicit: boolean;
}

/** A collection's own tag means nothing to the decoder and is not kept. */
export interface YamlCollection {
  readonly kind: "sequence" | "mapping";
  readonly at: number;
  /** Of a mapping: key, value, key, value. */
  readonly children: YamlNode[];
}

export interface YamlAlias {
  readonly kind: "alias";
  readonly at: number;
  readonly name: string;
  readonly target: YamlScalar | YamlCollection;
}

export type YamlNode = YamlScalar | YamlCollection | YamlAlias;

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

/** The next part of a collection that is open. */
type Expects =
  | "block entry"
  | "indentless entry"
  | "block key"
  | "block value"
  | "flow entry"
  | "pair key"
  | "pair value"
  | "pair end"
  | "flow key"
  | "flow value"
  | "no flow value";

interface Frame {
  readonly node: YamlCollection;
  expects: Expects;
  /** Nothing stood in it yet, so no comma is due. */
  first: boolean;
}

interface Parser {
  readonly scanner: Scanner;
  readonly frames: Frame[];
  readonly anchors: Map<string, YamlScalar | YamlCollection>;
  readonly aliased: Set<number>;
}

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

/** Records a token that the grammar has no place for, in libyaml's words. */
function parseError({ scanner }: Parser, problem: string, token: Token): undefined {
  scanError(scanner, problem, token.at);
  return undefined;
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

/** A node that was left out: null, once it is resolved. */
function emptyScalar(at: number): YamlScalar {
  return { kind: "scalar", at, text: "", tag: "", implicit: true };
}

/** A tag and an anchor, in either order. */
interface Properties {
  readonly tag: string;
  readonly anchor: string;
}

const NO_PROPERTIES: Properties = { tag: "", anchor: "" };

function isProperty({ type }: Token): boolean {
  return type === "tag" || type === "anchor";
}

/** The node at the next token, or the failure. A collection is opened: its children follow step by step. */
function parseNode(parser: Parser, block: boolean, indentless: boolean): YamlNode | undefined {
  const { scanner } = parser;
  const start = peekToken(scanner);
  if (start === undefined) return undefined;
  if (start.type === "alias") return parseAlias(parser, start);
  const properties = isProperty(start) ? parseProperties(parser, start) : NO_PROPERTIES;
  const token = peekToken(scanner);
  if (properties === undefined || token === undefined) return undefined;
  const { tag, anchor } = properties;
  const { at } = start;
  switch (token.type) {
    case "plain":
    case "quoted": {
      const implicit = tag === "!" || (tag === "" && token.type === "plain");
      takeToken(scanner);
      return keepScalar(parser, anchor, { kind: "scalar", at, text: token.value, tag, implicit });
    }
    case "[":
      takeToken(scanner);
      return open(parser, anchor, { kind: "sequence", at, children: [] }, "flow entry");
    case "{":
      takeToken(scanner);
      return open(parser, anchor, { kind: "mapping", at, children: [] }, "flow key");
    case "-":
      // Not taken: it is the first entry's.
      if (indentless) return open(parser, anchor, { kind: "sequence", at, children: [] }, "indentless entry");
      break;
    case "block sequence":
      if (!block) break;
      takeToken(scanner);
      return open(parser, anchor, { kind: "sequence", at, children: [] }, "block entry");
    case "block mapping":
      if (!block) break;
      takeToken(scanner);
      return open(parser, anchor, { kind: "mapping", at, children: [] }, "block key");
    default:
  }
  if (anchor === "" && tag === "") return parseError(parser, "did not find expected node content", token);
  return keepScalar(parser, anchor, { kind: "scalar", at, text: "", tag, implicit: tag === "" });
}

/** Opens a collection. Its anchor counts from here on, so that it can contain itself, which the decoder refuses. */
function open(parser: Parser, anchor: string, node: YamlCollection, expects: Expects): YamlCollection {
  if (anchor !== "") parser.anchors.set(anchor, node);
  parser.frames.push({ node, expects, first: true });
  return node;
}

/** A scalar, remembered under its anchor. */
function keepScalar(parser: Parser, anchor: string, node: YamlScalar): YamlScalar {
  if (anchor !== "") parser.anchors.set(anchor, node);
  return node;
}

/** An alias means the anchor last seen; anchors may be redefined. */
function parseAlias(parser: Parser, { at, value: name }: Token): YamlNode | undefined {
  const target = parser.anchors.get(name);
  if (target === undefined) {
    scanError(parser.scanner, `unknown anchor '${name}' referenced`, at);
    return undefined;
  }
  takeToken(parser.scanner);
  parser.aliased.add(target.at);
  return { kind: "alias", at, name, target };
}

function parseProperties(parser: Parser, start: Token): Properties | undefined {
  const { scanner } = parser;
  const other = start.type === "tag" ? "anchor" : "tag";
  takeToken(scanner);
  const second = peekToken(scanner);
  if (second === undefined) return undefined;
  const both = second.type === other;
  if (both) {
    takeToken(scanner);
    if (peekToken(scanner) === undefined) return undefined;
  }
  const tagToken = start.type === "tag" ? start : both ? second : undefined;
  const anchorToken = start.type === "anchor" ? start : both ? second : undefined;
  return { tag: tagToken?.value ?? "", anchor: anchorToken?.value ?? "" };
}

/** Takes the innermost open collection one child, or its end, further. */
function parseStep(parser: Parser): boolean {
  const frame = parser.frames.at(-1);
  const token = peekToken(parser.scanner);
  if (frame === undefined || token === undefined) return false;
  switch (frame.expects) {
    case "block entry":
      return parseBlockEntry(parser, frame, token);
    case "indentless entry":
      return parseIndentlessEntry(parser, frame, token);
    case "block key":
      return parseBlockKey(parser, frame, token);
    case "block value":
      return parseBlockValue(parser, frame, token);
    case "flow entry":
      return parseFlowEntry(parser, frame, token);
    case "pair key":
      return parsePairKey(parser, frame, token);
    case "pair value":
      return parseFlowValue(parser, frame, token, "]", "pair end");
    case "pair end":
      return close(parser, false);
    case "flow key":
      return parseFlowKey(parser, frame, token);
    case "flow value":
      return parseFlowValue(parser, frame, token, "}", "flow key");
    case "no flow value":
      frame.expects = "flow key";
      return add(frame, emptyScalar(token.at));
  }
}

/** Adds a child, unless it failed. */
function add(frame: Frame, node: YamlNode | undefined): boolean {
  if (node === undefined) return false;
  frame.node.children.push(node);
  return true;
}

/** Closes the innermost collection, with or without taking a token for it. */
function close(parser: Parser, take: boolean): boolean {
  if (take) takeToken(parser.scanner);
  parser.frames.pop();
  return true;
}

/** Takes the token and adds the block node after it, or an empty one if a token of `ends` follows. */
function addBlockChild(
  parser: Parser,
  frame: Frame,
  token: Token,
  ends: readonly TokenType[],
  indentless: boolean,
): boolean {
  takeToken(parser.scanner);
  const next = peekToken(parser.scanner);
  if (next === undefined) return false;
  const empty = ends.includes(next.type);
  return add(frame, empty ? emptyScalar(token.end) : parseNode(parser, true, indentless));
}

const ENTRY_ENDS: readonly TokenType[] = ["-", "block end"];
const INDENTLESS_ENDS: readonly TokenType[] = ["-", "key", "value", "block end"];
const MEMBER_ENDS: readonly TokenType[] = ["key", "value", "block end"];

function parseBlockEntry(parser: Parser, frame: Frame, token: Token): boolean {
  if (token.type === "-") return addBlockChild(parser, frame, token, ENTRY_ENDS, false);
  if (token.type === "block end") return close(parser, true);
  return parseError(parser, "did not find expected '-' indicator", token) ?? false;
}

/** Entries at the column of the key they belong to; anything else than a dash ends them. */
function parseIndentlessEntry(parser: Parser, frame: Frame, token: Token): boolean {
  if (token.type === "-") return addBlockChild(parser, frame, token, INDENTLESS_ENDS, false);
  return close(parser, false);
}

function parseBlockKey(parser: Parser, frame: Frame, token: Token): boolean {
  if (token.type === "key") {
    frame.expects = "block value";
    return addBlockChild(parser, frame, token, MEMBER_ENDS, true);
  }
  if (token.type === "block end") return close(parser, true);
  return parseError(parser, "did not find expected key", token) ?? false;
}

function parseBlockValue(parser: Parser, frame: Frame, token: Token): boolean {
  frame.expects = "block key";
  if (token.type === "value") return addBlockChild(parser, frame, token, MEMBER_ENDS, true);
  return add(frame, emptyScalar(token.at));
}

/** Moves over the comma that is due before every child but the first; the token then standing there. */
function parseComma(parser: Parser, frame: Frame, token: Token, end: "]" | "}"): Token | undefined {
  if (frame.first) {
    frame.first = false;
    return token;
  }
  if (token.type !== ",") return parseError(parser, `did not find expected ',' or '${end}'`, token);
  takeToken(parser.scanner);
  return peekToken(parser.scanner);
}

function parseFlowEntry(parser: Parser, frame: Frame, token: Token): boolean {
  if (token.type === "]") return close(parser, true);
  const next = parseComma(parser, frame, token, "]");
  if (next === undefined) return false;
  if (next.type === "]") return close(parser, true);
  if (next.type !== "key") return add(frame, parseNode(parser, false, false));
  // `[a: b]` and `[? a : b]`: a mapping of one pair.
  const node: YamlCollection = { kind: "mapping", at: next.at, children: [] };
  takeToken(parser.scanner);
  parser.frames.push({ node, expects: "pair key", first: true });
  return add(frame, node);
}

function parsePairKey(parser: Parser, frame: Frame, token: Token): boolean {
  frame.expects = "pair value";
  if (token.type !== "value" && token.type !== "," && token.type !== "]") {
    return add(frame, parseNode(parser, false, false));
  }
  // libyaml takes the token although it belongs to what follows; so `[? : x]` is an error.
  takeToken(parser.scanner);
  return add(frame, emptyScalar(token.end));
}

/** The value after a colon; without one it is empty. */
function parseFlowValue(parser: Parser, frame: Frame, token: Token, end: "]" | "}", then: Expects): boolean {
  frame.expects = then;
  if (token.type !== "value") return add(frame, emptyScalar(token.at));
  takeToken(parser.scanner);
  const next = peekToken(parser.scanner);
  if (next === undefined) return false;
  const empty = next.type === "," || next.type === end;
  return add(frame, empty ? emptyScalar(next.at) : parseNode(parser, false, false));
}

/** A key in braces; without a colon (`{a, b}`) its value is empty. */
function parseFlowKey(parser: Parser, frame: Frame, token: Token): boolean {
  if (token.type === "}") return close(parser, true);
  const next = parseComma(parser, frame, token, "}");
  if (next === undefined) return false;
  if (next.type === "}") return close(parser, true);
  if (next.type !== "key") {
    frame.expects = "no flow value";
    return add(frame, parseNode(parser, false, false));
  }
  frame.expects = "flow value";
  takeToken(parser.scanner);
  const key = peekToken(parser.scanner);
  if (key === undefined) return false;
  const empty = key.type === "value" || key.type === "," || key.type === "}";
  return add(frame, empty ? emptyScalar(key.at) : parseNode(parser, false, false));
}

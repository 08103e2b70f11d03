/**
 * The nodes of YAML's tree, and the parser's state. Each open collection is a frame on our own stack, since 20,000 can
 * be open, more than JavaScript's stack takes.
 */
import { scanError } from "./cursor.ts";
import { peekToken } from "./scan.ts";
import { type Scanner, type Token, takeToken } from "./tokens.ts";

/** A scalar whose type is not decided yet. */
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

/** Another place of a node that has an anchor. */
export interface YamlAlias {
  readonly kind: "alias";
  readonly at: number;
  readonly name: string;
  readonly target: YamlScalar | YamlCollection;
}

/** A node of YAML's tree. */
export type YamlNode = YamlScalar | YamlCollection | YamlAlias;

/** The next expected part of an open collection. */
export type Expects =
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

/** An open collection. */
export interface Frame {
  readonly node: YamlCollection;
  expects: Expects;
  /** It is still empty, so no comma is due. */
  first: boolean;
}

/** The parser's state. */
export interface Parser {
  readonly scanner: Scanner;
  readonly frames: Frame[];
  readonly anchors: Map<string, YamlScalar | YamlCollection>;
  readonly aliased: Set<number>;
}

/** Records a token that the grammar has no place for, in libyaml's words. */
export function parseError({ scanner }: Parser, problem: string, token: Token): undefined {
  scanError(scanner, problem, token.at);
  return undefined;
}

/** A node that is left out: null, once it is resolved. */
export function emptyScalar(at: number): YamlScalar {
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
export function parseNode(parser: Parser, block: boolean, indentless: boolean): YamlNode | undefined {
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
      // Does not take the token: it is the first entry's.
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

/** Opens a collection. Its anchor counts from here on, so that it can contain itself, which the decoder rejects. */
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

/** The steps that move an open collection to its next child, or close it. */
import {
  type Expects,
  emptyScalar,
  type Frame,
  type Parser,
  parseError,
  parseNode,
  type YamlCollection,
  type YamlNode,
} from "./parse-node.ts";
import { peekToken } from "./scan.ts";
import { type Token, type TokenType, takeToken } from "./tokens.ts";

/** Moves the innermost open collection to its next child, or closes it. */
export function parseStep(parser: Parser): boolean {
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

/** Entries at the column of the key they belong to; anything but a dash ends them. */
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

/** Moves over the comma that must precede every child but the first; returns the token after it. */
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

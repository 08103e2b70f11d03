/**
 * Places in a text that is a value of another: a block scalar's lines, or a quoted one's characters. We try each way of
 * writing, and use it only if it yields the value, so that a wrong place never shows.
 */

import type { Node } from "../yaml/node.ts";
import { locator, type Position } from "../yaml/positions.ts";

type PositionMap = (inner: Position) => Position;

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

/** The place in `text` of a place in the value; the value's beginning, if that cannot be computed. */
export function positionMap(text: string, value: Node): PositionMap {
  const locate = locator(text);
  const start = locate(value.at);
  if (value.kind !== "string") return () => start;
  return (
    blockMap(text, value.at, value.value, start) ??
    offsetMap(text, value.at, value.value, locate) ??
    (() => start)
  );
}

/** A literal block scalar: lines are lines, and the indentation goes. */
function blockMap(text: string, at: number, value: string, start: Position): PositionMap | undefined {
  if (text[at] !== "|") return undefined;
  const from = text.slice(at).split(/\r\n?|\n/, 1)[0]?.length ?? 0;
  const inner = value.split("\n");
  // The newline after the last line begins none.
  if (inner.at(-1) === "") inner.pop();
  const outer = text
    .slice(at + from)
    .split(/\r\n?|\n/, inner.length + 1)
    .slice(1);
  const first = inner.findIndex((line) => line.trim() !== "");
  if (first < 0) return undefined;
  const indent = (outer[first]?.length ?? 0) - (inner[first]?.length ?? 0);
  if (!inner.every((line, i) => outer[i]?.slice(indent) === line)) return undefined;
  return ({ line, column }) => ({ line: start.line + line, column: column + indent });
}

/** A quoted or plain scalar on one line: characters are characters, or escapes. */
function offsetMap(
  text: string,
  at: number,
  value: string,
  locate: (at: number) => Position,
): PositionMap | undefined {
  const quote = /["']/.test(text[at] ?? "") ? text[at] : undefined;
  const offsets = new Uint32Array(value.length + 1);
  let from = quote === undefined ? at : at + 1;
  for (let i = 0; i < value.length; i++) {
    offsets[i] = from;
    const { character, length } =
      quote === '"' ? readCharacter(text, from) : { character: text[from], length: 1 };
    if (character !== value[i]) return undefined;
    from += length;
  }
  offsets[value.length] = from;
  const starts = [0, ...[...value.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return ({ line, column }) =>
    locate(offsets[offsetIn(value, starts[line - 1] ?? value.length, column)] ?? at);
}

function readCharacter(
  text: string,
  at: number,
): { readonly character: string | undefined; readonly length: number } {
  const [first, second = ""] = [text[at], text[at + 1]];
  if (first !== "\\") return { character: first, length: 1 };
  if (second !== "u") return { character: ESCAPES[second] ?? second, length: 2 };
  return { character: String.fromCharCode(Number.parseInt(text.slice(at + 2, at + 6), 16)), length: 6 };
}

/** Columns count characters, offsets UTF-16 units. */
function offsetIn(value: string, from: number, column: number): number {
  let at = from;
  for (let i = 1; i < column && at < value.length; i++) at += (value.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return at;
}

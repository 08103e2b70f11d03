/** Places in the files of a configuration, and the problems reported about them. */
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import { printableLine } from "../text/printable.ts";
import type { Position } from "../yaml/positions.ts";
import type { Problem, ProblemCode, ProblemPlace } from "./problem.ts";

/** A parsed file, for naming places in it. */
export interface Source {
  readonly path: string;
  /** Absent where there is no text; then no place has a line. */
  readonly text?: string;
  /** The line and column of an offset into its text. */
  readonly locate?: (at: number) => Position;
}

/** The source of values that no file gives. */
export const DEFAULTS: Source = { path: "built-in defaults" };

/** The subject of a problem. */
export interface Place {
  readonly file: Source;
  /** The offset in the file's text, if it has one. */
  readonly at?: number;
  readonly key?: string;
  /** The element of the key's list. */
  readonly index?: number;
  /** The text at the place, where it is a single value. */
  readonly text?: string;
}

/** Takes note of a problem. */
export type Report = (code: ProblemCode, place: Place | undefined, message: string) => void;

/** A report that adds to `problems`, with the place in the text. */
export function reportInto(problems: Problem[]): Report {
  return (code, place, message) => {
    const text = place?.text === undefined ? {} : { text: cut(place.text, VALUE_CHARACTERS) };
    problems.push({ code, ...locate(place ?? { file: DEFAULTS }), message, ...text });
  };
}

/** A place as problems name it. This counts its line: for a long list, call it only for places that you show. */
export function locate({ file, at, key, index }: Place): ProblemPlace {
  const position = at === undefined ? {} : file.locate?.(at);
  // A problem is one line, and a quoted key may have line feeds.
  const name = key && printableLine(cut(key, VALUE_CHARACTERS));
  const path = index === undefined ? name : `${name}[${index}]`;
  return { path: file.path, ...position, ...(path === undefined ? {} : { key: path }) };
}

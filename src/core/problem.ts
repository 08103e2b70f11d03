/**
 * Problems of an input, as data: collected, never thrown, so that an operator sees all of them at once and the last
 * good ruleset stays.
 */

import { COMPLAINT_CHARACTERS, cut } from "../text/cut.ts";
import { printableLine } from "../text/printable.ts";

/** Every kind of problem; closed, so that tests and machines can rely on it. */
export type ProblemCode =
  | "syntax" // neither JSON nor YAML as Go reads them
  | "encoding" // bytes that are not text
  | "type" // a value of the wrong kind for its key
  | "cidr" // not a CIDR, or one with host bits
  | "duration" // not a Go duration
  | "interface" // not a name of interfaces
  | "address" // not an address or block that packets can leave with
  | "limit" // more entries than cidrLimit, or too many names
  | "family" // an IPv6 entry without --enable-ipv6
  | "conflict" // a prefix in two lists, or a value in two files, that contradict each other
  | "unknown-key" // ignored, with a warning
  | "suspicious" // allowed, with a warning
  | "ignored" // text that nothing reads, with a warning
  | "nested" // a configuration one level too deep, with a warning
  | "empty" // an entry or a list without a value
  | "redundant" // changes nothing, with a warning
  | "uncovered" // a network of pods that the list does not keep, or that is not masqueraded, with a warning
  | "manifest" // a manifest without a configuration, or in place of its content
  | "unreadable"; // a file that cannot be read

/** A place in an input. */
export interface ProblemPlace {
  /** The file as it was named, or the name of a different source. */
  readonly path: string;
  /** 1-based; absent where the problem has no place in the text. */
  readonly line?: number;
  /** 1-based, in characters. */
  readonly column?: number;
  /** The key's path, such as `nonMasqueradeCIDRs[3]`. */
  readonly key?: string;
}

/** One thing wrong with an input, and its place. */
export interface Problem extends ProblemPlace {
  readonly code: ProblemCode;
  readonly message: string;
  /** The text there, where it is a single value. */
  readonly text?: string;
  /** Advice that only the text around it allows. */
  readonly hint?: string;
}

/** A value, or every reason why there is none. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** `path:line:column: key: message`, as compilers print it. */
export function renderProblem(problem: Problem): string {
  const key = problem.key === undefined ? "" : `${problem.key}: `;
  return `${renderPlace(problem)}: ${key}${messageOf(problem)}`;
}

/** The message, cut where it is long. */
export function messageOf({ message }: Problem): string {
  return cut(message, COMPLAINT_CHARACTERS);
}

/** `path:line:column`, as far as it is known, in one line. */
export function renderPlace({ path, line, column }: ProblemPlace): string {
  return [printableLine(path), line, column].filter((part) => part !== undefined).join(":");
}

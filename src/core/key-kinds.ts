/**
 * The kinds of values that keys of the configuration take, except lists (key-lists.ts): how encoding/json's Unmarshal
 * reads a value into the Go program's struct, and how documents and the schema describe it.
 */
import { parseDuration, toMilliseconds } from "../go/duration.ts";
import { goQuote } from "../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import type { Member, Node } from "../yaml/node.ts";
import type { ConfigOptions } from "./config-options.ts";
import { locate, type Place, type Report, type Source } from "./place.ts";
import { renderPlace } from "./problem.ts";

/** Where to report errors and warnings, and the options that decide them. */
export interface Reporting {
  /** A file of a directory starts from empty lists, as Azure's agent does, so an empty entry keeps nothing. */
  readonly kind: "file" | "directory";
  readonly options: ConfigOptions;
  readonly report: Report;
  readonly warn: Report;
}

/** A file while we read it. */
export interface Reading extends Reporting {
  readonly file: Source;
}

/**
 * How to read the values of one kind. `Given` is a value as a file gives it, with its place; `Initial` is one without,
 * as a default is written. Methods, so that a kind of any value is a `Kind` too.
 */
export interface Kind<Given extends Place = Place, Initial = unknown> {
  /** The type in words, for documents. */
  readonly type: string;
  /** The type in JSON Schema. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Whether Go's decoder skips a null, which then keeps the value of an earlier member. */
  readonly skipsNull: boolean;
  /**
   * Applies a member of the document over `earlier`, the value of an earlier member or else the default. Undefined:
   * skipped, or rejected and reported.
   */
  decode(key: string, member: Member, earlier: Given | undefined, reading: Reading): Given | undefined;
  /** A default as if a file gave it. */
  given(initial: Initial, place: Place): Given;
  /** A value as a file would have it. */
  written(initial: Initial): unknown;
}

/** One value, and its place. */
export interface Setting<T> extends Place {
  readonly value: T;
}

/** true or false. */
export const SWITCH: Kind<Setting<boolean>, boolean> = {
  type: "true or false",
  schema: { type: ["boolean", "null"] },
  skipsNull: true,
  decode(key, { value: node }, _, { file, report }) {
    if (node.kind === "boolean") return { value: node.value, file, at: node.at, key };
    if (node.kind !== "null")
      report("type", placeOf(key, node, file), `must be true or false, not ${article(node.kind)}`);
    return undefined;
  },
  given: (value, place) => ({ ...place, value }),
  written: (value) => value,
};

/** One of several words. */
export function choice<const T extends string>(words: readonly T[]): Kind<Setting<T>, T> {
  const type = words.join(" or ");
  return {
    type,
    schema: { enum: [...words, null] },
    skipsNull: true,
    decode(key, { value: node }, _, { file, report }) {
      const value = words.find((word) => node.kind === "string" && word === node.value);
      if (value !== undefined) return { value, file, at: node.at, key };
      const found = node.kind === "string" ? goQuote(cut(node.value, VALUE_CHARACTERS)) : article(node.kind);
      report("type", placeOf(key, node, file), `must be ${type}, not ${found}`);
      return undefined;
    },
    given: (value, place) => ({ ...place, value }),
    written: (value) => value,
  };
}

/** Go's int. */
export const COUNT: Kind<Setting<number>, number> = {
  type: "whole number",
  schema: { type: ["integer", "null"], minimum: 0, maximum: 2 ** 63 },
  skipsNull: true,
  decode(key, { value: node }, _, { file, report, warn }) {
    if (node.kind === "null") return undefined;
    const place = placeOf(key, node, file);
    const literal = node.kind === "number" ? node.literal : "";
    if (/^-?\d{1,19}$/.test(literal) && BigInt.asIntN(64, BigInt(literal)) === BigInt(literal)) {
      const [octal] = /^[-+]?0[0-7_]+/.exec(file.text?.slice(node.at, node.at + 32) ?? "") ?? [];
      if (octal !== undefined && Number(octal) !== Number(literal))
        warn("suspicious", place, `${octal} is octal in YAML, and read as ${literal}`);
      return { value: Number(literal), ...place };
    }
    const found = node.kind === "number" ? literal : article(node.kind);
    report("type", place, `must be a whole number of 64 bits, not ${found}`);
    return undefined;
  },
  given: (value, place) => ({ ...place, value }),
  written: (value) => value,
};

const AMOUNT = "(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)";

/**
 * A duration as Go writes it, in milliseconds. The Go program's own decoder sees a null as the empty text, which is not
 * a valid duration.
 */
export const DURATION: Kind<Setting<number>, number> = {
  type: "duration",
  schema: {
    type: "string",
    pattern: `^[+-]?(?:0|(?:${AMOUNT}(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$`,
  },
  skipsNull: false,
  decode(key, { value: node }, _, { file, report }) {
    if (node.kind !== "string" && node.kind !== "null") {
      const text = node.kind === "number" ? { text: node.literal } : {};
      report(
        "type",
        { file, at: node.at, key, ...text },
        `must be a duration in text form such as "60s", not ${article(node.kind)}`,
      );
      return undefined;
    }
    const text = node.kind === "null" ? "" : node.value;
    const parsed = parseDuration(text);
    if (parsed.ok) return { value: toMilliseconds(parsed.nanoseconds), file, at: node.at, key };
    report("duration", { file, at: node.at, key, text }, parsed.message);
    return undefined;
  },
  given: (value, place) => ({ ...place, value }),
  written: (ms) => `${ms / 1000}s`,
};

/** The place of a value, with its text where a string has the wrong type. */
export function placeOf(key: string, node: Node, file: Source): Place {
  return { file, at: node.at, key, ...(node.kind === "string" ? { text: node.value } : {}) };
}

/** A kind of node with its article. */
export function article(kind: Node["kind"]): string {
  return kind === "array" || kind === "object" ? `an ${kind}` : kind === "null" ? "null" : `a ${kind}`;
}

/** The first switch that is on, else any. */
export function anyOn(given: readonly Setting<boolean>[]): Setting<boolean> {
  return (given.find(({ value }) => value) ?? given[0]) as Setting<boolean>;
}

/** The value that all files agree on; the first, and a problem, if they do not. */
export function agreed<T>(given: readonly Setting<T>[], { report }: Reporting): Setting<T> {
  const [first] = given as readonly [Setting<T>, ...Setting<T>[]];
  const other = given.find(({ value }) => value !== first.value);
  if (other !== undefined)
    report("conflict", other, `is ${other.value} here, but ${first.value} at ${renderPlace(locate(first))}`);
  return first;
}

/** The largest; of equal ones the first. */
export function largest(given: readonly Setting<number>[]): Setting<number> {
  return given.reduce((a, b) => (a.value >= b.value ? a : b));
}

/** The smallest duration, but no shorter than `leastMs`, with a warning; of equal ones the first. */
export function smallestFrom(leastMs: number) {
  return (given: readonly Setting<number>[], { warn }: Reporting): Setting<number> => {
    const smallest = given.reduce((a, b) => (a.value <= b.value ? a : b));
    if (smallest.value >= leastMs) return smallest;
    warn("suspicious", smallest, `${smallest.value}ms is taken as ${leastMs}ms`);
    return { ...smallest, value: leastMs };
  };
}

/**
 * The types of flags: objects that parse and print values, as Go's `flag.Value`
 * does, with the messages of Go's own ones.
 */

import { type Integer, parseGoInt, parseGoUint } from "./integer.ts";

/** A flag's value, or the message of Go's `Set` about the text. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly message: string };

/** How values of one kind are read, printed and shown in the usage text. */
export interface FlagType<T> {
  /** The argument's name in `PrintDefaults`; "bool" takes none and is not printed. */
  readonly name: "bool" | "string" | "value" | "uint" | "int";
  /** How Go's zero value prints: a default that prints like it is not shown. */
  readonly zero: string;
  parse(text: string): Parsed<T>;
  print(value: T): string;
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false] as const),
]);

/** `flag.Bool`: strconv.ParseBool, and bare means true. */
export const boolType: FlagType<boolean> = {
  name: "bool",
  zero: "false",
  parse(text) {
    const value = BOOLEANS.get(text);
    return value === undefined ? { ok: false, message: "parse error" } : { ok: true, value };
  },
  print: String,
};

/** `flag.String`. */
export const stringType: FlagType<string> = {
  name: "string",
  zero: "",
  parse: (text) => ({ ok: true, value: text }),
  print: String,
};

/** `flag.Uint64`, a bigint because it reaches 2^64-1. */
export const uintType: FlagType<bigint> = {
  name: "uint",
  zero: "0",
  parse: (text) => counted(parseGoUint(text, 0, 64)),
  print: String,
};

/** A whole number from 0 to 2^53-1, in `flag.Int`'s syntax (ours: Go's goes below 0). */
export const countType: FlagType<number> = {
  name: "int",
  zero: "0",
  parse(text) {
    const parsed = counted(parseGoInt(text, 0, 54));
    if (!parsed.ok) return parsed;
    if (parsed.value < 0n) return { ok: false, message: "must not be negative" };
    return { ok: true, value: Number(parsed.value) };
  },
  print: String,
};

/** One of a few words (ours: Go has no such type). */
export function wordType<const Word extends string>(...words: readonly Word[]): FlagType<Word> {
  return {
    name: "value",
    zero: "",
    parse(text) {
      const value = words.find((word) => word === text);
      if (value !== undefined) return { ok: true, value };
      return { ok: false, message: `must be one of ${words.join(", ")}` };
    },
    print: String,
  };
}

/** Go's `numError`: syntax errors lose their text, range errors keep it. */
function counted(integer: Integer): Parsed<bigint> {
  if (integer.ok) return integer;
  return { ok: false, message: integer.fault === "invalid syntax" ? "parse error" : integer.fault };
}

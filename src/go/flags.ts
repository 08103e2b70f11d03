/**
 * The syntax and the messages of Go's `flag` package, over a table of flags.
 * A type of flag is a small object that parses and prints its values, as Go's
 * `flag.Value` is one; the table gives defaults and help, so that parsing, the
 * usage text and the list of effective values cannot disagree. Commander, citty
 * and `parseArgs` each fail on `-masq-chain=X` or `--enable-ipv6=false`, and Go's
 * messages are part of the contract.
 */

import { nearest } from "../text/near.ts";
import type { FlagType } from "./flag-types.ts";
import { goQuote } from "./quote.ts";

/** One row of a table of flags; a name in backquotes in `usage` names the argument. */
export interface Flag<T> {
  readonly type: FlagType<T>;
  readonly initial: T;
  readonly usage: string;
}

/** The flags of a command, by name. */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** The value of every flag of a table, given or not. */
export type FlagValues<Table extends FlagTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Flag<infer T> ? T : never;
};

/** The content of a command line; `words` follow the flags (or are between them). */
export type FlagsResult<Table extends FlagTable> =
  | {
      readonly kind: "flags";
      readonly values: FlagValues<Table>;
      readonly given: ReadonlySet<string>;
      readonly words: readonly string[];
      /** All from the argument on that ended the flags, which may be `--`. */
      readonly rest: readonly string[];
    }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | FlagError;

interface FlagError {
  readonly kind: "error";
  readonly message: string;
  /** A flag with a similar name. */
  readonly hint?: string;
}

/** The row of a table, with the type of its value inferred. */
export function flag<T>(type: FlagType<T>, initial: NoInfer<T>, usage: string): Flag<T> {
  return { type, initial, usage };
}

/**
 * Reads a command line. `"leading"` is Go's rule: the first word, `-`, empty
 * argument or `--` ends the flags; `"anywhere"` allows words between them.
 */
export function parseFlags<Table extends FlagTable>(
  table: Table,
  argv: readonly string[],
  flags: "leading" | "anywhere" = "leading",
): FlagsResult<Table> {
  const values = initialValues(table);
  const given = new Set<string>();
  const words: string[] = [];
  let at = 0;
  for (; at < argv.length; at++) {
    const arg = argv[at] as string;
    if (arg === "--") break;
    if (arg.length < 2 || !arg.startsWith("-")) {
      if (flags === "leading") break;
      words.push(arg);
      continue;
    }
    const read = readFlag(table, arg, argv[at + 1]);
    if (read.kind !== "value") return read;
    values[read.name] = read.value;
    given.add(read.name);
    if (read.tookNext) at++;
  }
  const rest = argv.slice(at);
  words.push(...rest.slice(rest[0] === "--" ? 1 : 0));
  return { kind: "flags", values: values as FlagValues<Table>, given, words, rest };
}

type Read =
  | { readonly kind: "value"; readonly name: string; readonly value: unknown; readonly tookNext: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | FlagError;

/** An argument and, after a flag that takes its value from there, the next one; `flag` is undefined for a word. */
export interface Unit {
  readonly flag: string | undefined;
  readonly texts: readonly string[];
}

/** Arguments in pairs, wherever flags end. Flags that the table does not have count as switches. */
export function unitsOf(table: FlagTable, args: readonly string[]): readonly Unit[] {
  const units: Unit[] = [];
  for (let at = 0; at < args.length; at++) {
    const [, name, equals] = /^--?([^-=][^=]*)(=?)/s.exec(args[at] ?? "") ?? [];
    const type = name !== undefined && Object.hasOwn(table, name) ? table[name]?.type.name : "bool";
    const texts = args.slice(at, at + (equals === "" && type !== "bool" ? 2 : 1));
    units.push({ flag: name, texts });
    at += texts.length - 1;
  }
  return units;
}

/** One step of Go's `FlagSet.parseOne`. */
function readFlag(table: FlagTable, arg: string, next: string | undefined): Read {
  const body = arg.slice(arg.startsWith("--") ? 2 : 1);
  if (/^[-=]/.test(body)) return failure(`bad flag syntax: ${arg}`);
  const equals = body.indexOf("=");
  const name = equals < 0 ? body : body.slice(0, equals);
  const text = equals < 0 ? undefined : body.slice(equals + 1);
  const flag = Object.hasOwn(table, name) ? table[name] : undefined;
  if (flag === undefined) return undefinedFlag(table, name);
  if (flag.type.name === "bool") return readBool(flag, name, text ?? "true");
  const value = text ?? next;
  if (value === undefined) return failure(`flag needs an argument: -${name}`);
  const parsed = flag.type.parse(value);
  if (!parsed.ok) return failure(`invalid value ${goQuote(value)} for flag -${name}: ${parsed.message}`);
  return { kind: "value", name, value: parsed.value, tookNext: text === undefined };
}

function readBool(flag: Flag<unknown>, name: string, text: string): Read {
  const parsed = flag.type.parse(text);
  if (!parsed.ok) return failure(`invalid boolean value ${goQuote(text)} for -${name}: ${parsed.message}`);
  return { kind: "value", name, value: parsed.value, tookNext: false };
}

/** Go's package answers `-help` and `-h`; `-version` is ours. */
function undefinedFlag(table: FlagTable, name: string): Read {
  if (name === "help" || name === "h") return { kind: "help" };
  if (name === "version") return { kind: "version" };
  const meant = nearest(name, Object.keys(table));
  const error = failure(`flag provided but not defined: -${name}`);
  return meant === undefined ? error : { ...error, hint: `did you mean ${dashed(meant)}?` };
}

/** A flag's name with its dashes. */
export function dashed(name: string): string {
  return `${name.length === 1 ? "-" : "--"}${name}`;
}

function failure(message: string): FlagError {
  return { kind: "error", message };
}

function initialValues(table: FlagTable): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, { initial }]) => [name, initial]));
}

/** Every flag's name and printed value by name, as the Go program logs them at its start. */
export function effectiveFlags<Table extends FlagTable>(
  table: Table,
  values: FlagValues<Table>,
): (readonly [name: string, printed: string])[] {
  return byName(table).map(([name, { type }]) => [name, type.print(values[name])] as const);
}

/** `Usage of PROGRAM:` and Go's `PrintDefaults`. */
export function renderUsage(program: string, table: FlagTable): string {
  const rows = byName(table).map(([name, flag]) => renderFlag(name, flag));
  return `Usage of ${program}:\n${rows.join("")}`;
}

function renderFlag(name: string, flag: Flag<unknown>): string {
  const { argument, help, initial } = describeFlag(flag);
  const head = `  -${name}${argument === "" ? "" : ` ${argument}`}`;
  // Go: booleans of one letter keep their help on the same line.
  const gap = head.length <= 4 ? "\t" : "\n    \t";
  return `${head}${gap}${help.replaceAll("\n", "\n    \t")}${initial === "" ? "" : ` (default ${initial})`}\n`;
}

/** A flag's help: its argument's name (none for a switch), its text, and its default (empty: not shown). */
export function describeFlag({ type, initial, usage }: Flag<unknown>): {
  readonly argument: string;
  readonly help: string;
  readonly initial: string;
} {
  return {
    ...unquoteUsage(type.name === "bool" ? "" : type.name, usage),
    initial: renderInitial(type, initial),
  };
}

function renderInitial(type: FlagType<unknown>, initial: unknown): string {
  const printed = type.print(initial);
  if (printed === type.zero) return "";
  return type.name === "string" ? goQuote(printed) : printed;
}

/** Go's `UnquoteUsage`: the first backquoted name is the argument's. */
function unquoteUsage(typeName: string, usage: string): { argument: string; help: string } {
  const quoted = /`([^`]*)`/.exec(usage);
  const argument = quoted?.[1] ?? typeName;
  return { argument, help: quoted === null ? usage : usage.replace(quoted[0], () => argument) };
}

function byName(table: FlagTable): [string, Flag<unknown>][] {
  return Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The value of a flag of a command line in Go's syntax. */
export function flagValue(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((arg) => arg.replace(/^--?/, "").split("=")[0] === name && arg.startsWith("-"));
  const arg = args[at];
  if (arg === undefined) return undefined;
  return arg.includes("=") ? arg.slice(arg.indexOf("=") + 1) : args[at + 1];
}

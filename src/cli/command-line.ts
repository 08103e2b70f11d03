/**
 * The meaning of a command line. Only the first argument can name a command; without one the agent runs, with Go's
 * syntax of flags, which ends them at the first word and ignores the rest. An agent started by mistake would take the
 * rules from the running one, so we reject a command's name in the wrong place, and a first word that is not a command.
 * We ignore everything else after the flags as the Go program does, since working manifests must keep working; but with
 * a warning.
 */

import { boolType } from "../go/flag-types.ts";
import { unitsOf } from "../go/flags.ts";
import { goQuote } from "../go/quote.ts";
import { nearest } from "../text/near.ts";
import { type AgentFlags, agentFlags, parseAgentFlags } from "./options.ts";

export type CommandLine =
  | { readonly kind: "command"; readonly name: string; readonly args: readonly string[] }
  /** `ignored` is a warning about the words after the flags. */
  | { readonly kind: "agent"; readonly flags: AgentFlags; readonly ignored: string | undefined }
  /** `overview`: a person at a terminal typed the program's name alone. */
  | { readonly kind: "help" | "version" | "overview" }
  | Refused
  /** A command's name after something else; `args` are the other arguments. */
  | { readonly kind: "misplaced"; readonly name: string; readonly args: readonly string[] };

interface Refused {
  readonly kind: "unknown command" | "wrong flag";
  readonly message: string;
  readonly hint: string | undefined;
}

/**
 * Reads the command line. `commands` are the names of all but `run`; `isTyped` says whether a person types it at a
 * terminal.
 */
export function readCommandLine(
  argv: readonly string[],
  commands: readonly string[],
  isTyped: () => boolean,
): CommandLine {
  const [first, ...rest] = argv;
  const names = ["run", ...commands];
  if (first === undefined) return isTyped() ? { kind: "overview" } : readAgent([], names, isTyped);
  if (first === "run") return readAgent(rest, names, isTyped);
  if (commands.includes(first)) return { kind: "command", name: first, args: rest };
  return isWord(first) ? unknownCommand(first, names) : readAgent(argv, names, isTyped);
}

/** A variable without a value leaves an empty argument in a manifest, which is not meant as a name. */
function isWord(argument: string): boolean {
  return argument !== "" && !argument.startsWith("-");
}

function unknownCommand(word: string, names: readonly string[]): Refused {
  const meant = nearest(word, names);
  return {
    kind: "unknown command",
    message: `unknown command ${goQuote(word)}`,
    hint: meant === undefined ? "without a command there are only flags" : `did you mean ${meant}?`,
  };
}

function readAgent(args: readonly string[], names: readonly string[], isTyped: () => boolean): CommandLine {
  const parsed = parseAgentFlags(args);
  if (parsed.kind === "help" || parsed.kind === "version") return parsed;
  const words = wordsOf(parsed.kind === "flags" ? parsed.rest : args);
  const name = words.find((word) => names.includes(word));
  if (name !== undefined) return { kind: "misplaced", name, args: args.toSpliced(args.lastIndexOf(name), 1) };
  if (parsed.kind === "error") return { kind: "wrong flag", message: parsed.message, hint: parsed.hint };
  const misspelt = words.find((word) => nearest(word, names) !== undefined);
  if (misspelt !== undefined && isTyped()) return unknownCommand(misspelt, names);
  return {
    kind: "agent",
    flags: parsed,
    ignored: ignoredBy(args, parsed, misspelt && nearest(misspelt, names)),
  };
}

function wordsOf(args: readonly string[]): readonly string[] {
  return unitsOf(agentFlags, args).flatMap(({ flag, texts }) => (flag === undefined ? texts : []));
}

/** A warning about the words after the flags, for the log; `-- ` alone hides nothing. */
function ignoredBy(
  args: readonly string[],
  { rest, words, given }: AgentFlags,
  meant: string | undefined,
): string | undefined {
  if (words.length === 0) return undefined;
  const [end = ""] = rest;
  const texts = unitsOf(agentFlags, words).map(({ flag, texts }) =>
    flag === undefined ? goQuote(texts[0] ?? "") : texts.map(plain).join(" "),
  );
  const advice = [
    ...(meant === undefined ? [] : [`Did you mean the command ${meant}? It goes first`]),
    ...switchAdvice(args[args.length - rest.length - 1] ?? "", end, given),
  ];
  const why = `${goQuote(end)} ends the flags, as in the Go program`;
  return [`ignored: ${texts.join(" ")}: ${why}`, ...advice].join(". ");
}

/** The correct form of a switch with its value after it, such as `--enable-ipv6 true`. */
function switchAdvice(flag: string, value: string, given: ReadonlySet<string>): readonly string[] {
  const name = flag.replace(/^--?/, "");
  const isSwitch = given.has(name) && agentFlags[name as keyof typeof agentFlags].type.name === "bool";
  const meant = boolType.parse(SWITCHES[value.toLowerCase()] ?? value);
  return isSwitch && meant.ok ? [`Write --${name}=${meant.value}`] : [];
}

/** Common words for true and false that Go does not read. */
const SWITCHES: Readonly<Record<string, string>> = { yes: "true", on: "true", no: "false", off: "false" };

function plain(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : goQuote(text);
}

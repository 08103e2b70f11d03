/** The words to complete, from the same manuals as the help, for scripts in several shells. */

import { dashed, describeFlag } from "../../go/flags.ts";
import { allFlags } from "../command.ts";
import type { Manual } from "../manual.ts";
import { runManual } from "../run-manual.ts";

/** The words that are allowed in a place: one of a few, a file's name, or anything. */
export type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" }
  | { readonly kind: "any" };

export interface CompletedFlag {
  /** With its dashes. */
  readonly name: string;
  /** The first sentence of its help. */
  readonly help: string;
  /** Undefined for a switch. */
  readonly values: Values | undefined;
}

export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** The words that it takes; undefined if it takes none. */
  readonly operands: Values | undefined;
}

/** Shells with a script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Every command with its flags, in the order of the help. */
export function completedCommands(manuals: readonly Manual[]): readonly CompletedCommand[] {
  const names = manuals.map(({ name }) => name);
  return manuals.map((manual) => ({
    name: manual.name,
    summary: manual.summary,
    flags: completedFlags(manual),
    operands: operandsOf(manual, names),
  }));
}

function completedFlags(manual: Manual): CompletedFlag[] {
  const table = manual === runManual ? manual.flags : allFlags(manual);
  return Object.entries(table)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const { argument, help } = describeFlag(flag);
      return {
        name: dashed(name),
        help: firstSentence(help),
        values: argument === "" ? undefined : valuesOf(argument),
      };
    });
}

function firstSentence(help: string): string {
  return /^(.*?)[.:;]?(?:[.:;] |\n|$)/s.exec(help)?.[1] ?? help;
}

/** An argument's name says its kind: `path`, or words with bars in between. */
function valuesOf(argument: string): Values {
  if (/^[\w-]+(?:\|[\w-]+)+$/.test(argument)) return { kind: "words", words: argument.split("|") };
  return argument === "path" ? { kind: "file" } : { kind: "any" };
}

function operandsOf({ operands }: Manual, commands: readonly string[]): Values | undefined {
  const [first = ""] = /[A-Z_]+|[a-z|]+/.exec(operands) ?? [];
  if (first === "") return undefined;
  if (first === "COMMAND") return { kind: "words", words: commands };
  if (/FILE|CONFIG/.test(first)) return { kind: "file" };
  return first === first.toUpperCase() ? { kind: "any" } : valuesOf(first);
}

import type { FlagTable, FlagValues } from "../go/flags.ts";

/** The description of a command, available without running it. */
export interface Manual<Table extends FlagTable = FlagTable> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Usage text after the flags, such as `DESTINATION...`; empty if it takes no words. */
  readonly operands: string;
  /** Paragraphs for `--help` and the man page, with an empty line between them. */
  readonly details: string;
  /** Its own flags; `-o` is added to each command. */
  readonly flags: Table;
  /** Command lines after `ip-masq-agent`, as a user would type them; a test runs them. */
  readonly examples: readonly { readonly args: string; readonly what: string }[];
  /** Its output is for a program to run or read, to the byte. */
  readonly writesScript?: boolean;
  /** The meaning of its exit codes and the code of a failure, where they are not those of most commands. */
  readonly exitCodes?: { readonly meaning: string; readonly failure: number };
  /**
   * Present if the command takes flags of `run` that are not given from the agent that runs beside it: where the node's
   * proc is mounted, or undefined if these flags are about another node.
   */
  adopts?(values: FlagValues<Table>): string | undefined;
  /** Present if the command looks at this node, or changes it, with such a command line; elsewhere than on Linux there is none. */
  readsNode?(values: FlagValues<Table>, words: readonly string[]): boolean;
}

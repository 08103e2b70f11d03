/** What can be said of a command without running it. */
import type { FlagTable, FlagValues } from "../go/flags.ts";

/** What can be said of a command without running it. */
export interface Manual<Table extends FlagTable = FlagTable> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Usage text behind the flags, such as `DESTINATION...`; empty if it takes no words. */
  readonly operands: string;
  /** Paragraphs for `--help` and the man page, with an empty line between them. */
  readonly details: string;
  /** Its own flags; `-o` is added to each command. */
  readonly flags: Table;
  /** Command lines behind `ip-masq-agent`, as they would be typed; a test runs them. */
  readonly examples: readonly { readonly args: string; readonly what: string }[];
  /** Its output is for a program to run or read, to the byte. */
  readonly writesScript?: boolean;
  /** What its exit codes mean and which one a failure has, where they are not those of most commands. */
  readonly exitCodes?: { readonly meaning: string; readonly failure: number };
  /**
   * Present if flags of `run` that are not given are to be taken from the agent that runs beside the command: where the node's proc
   * is mounted, or undefined if these flags are about another node.
   */
  adopts?(values: FlagValues<Table>): string | undefined;
}

/** A child process to run, and its answer, as values. */

/** A child process to run. */
export interface Script {
  /** The tool's name, found in PATH. */
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin?: string;
  /** Its purpose, to continue "error ..." in a message. */
  readonly purpose: string;
  /** Exit codes that are an answer rather than a failure, besides 0. */
  readonly accept?: readonly number[];
  /** Run when this one exits with 1: "ensure" as check, then add. */
  readonly otherwise?: Script;
  /** Milliseconds after which the process is killed. */
  readonly deadlineMs: number;
}

/** The answer of a script. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script. Throws a `CommandError` if it fails. */
export type Run = (script: Script) => Promise<Answer>;

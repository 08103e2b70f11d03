/**
 * What a backend is: pure functions from rulesets to scripts. A script is an effect as a value; the reconcile pass
 * carries it out, and it can be printed instead.
 */
import type { Family } from "../core/cidr.ts";
import type { Drift } from "../core/diff.ts";
import type { Ruleset } from "../core/ruleset.ts";

/** A child process to run. */
export interface Script {
  /** The tool's name, found in PATH. */
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin?: string;
  /** What it is for, to continue "error ..." in a message. */
  readonly purpose: string;
  /** Exit codes that are an answer rather than a failure, besides 0. */
  readonly accept?: readonly number[];
  /** Run when this one exits with 1: "ensure" as check, then add. */
  readonly otherwise?: Script;
  /** Milliseconds after which the process is ended. */
  readonly deadlineMs: number;
}

/** What a script answered. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the tools of one family can do; `version` is as they say it. */
export interface Capabilities {
  readonly version: string;
  /** The kernel interface behind the tool; tools before 1.8 know only the old one. */
  readonly variant: "nf_tables" | "legacy";
  /** `-C` exists (1.4.11). */
  readonly check: boolean;
  /** How the tool is told to wait for the xtables lock, if it can (1.4.20; with seconds from 1.4.22). */
  readonly wait: readonly string[];
  /** The same for the restore tool (1.6.2, or patched earlier ones). */
  readonly restoreWait: readonly string[];
  /** MASQUERADE knows `--random-fully` (1.6.2). */
  readonly randomFully: boolean;
}

/** The state of the packet filter as far as it is ours, in the backend's own canonical words. */
export interface Observed {
  /** Undefined if there is no such chain. */
  readonly rules: readonly string[] | undefined;
  readonly jump: boolean;
}

/** What has to be done, and why; no steps mean in sync. */
export interface Plan {
  readonly drift: readonly Drift[];
  readonly steps: readonly Script[];
}

/** One packet filter's way of holding a ruleset of one family. */
export interface Backend {
  readonly name: string;
  /** The names of the tools that this backend runs for a family. */
  readonly tools: (family: Family) => Tools;
  /** Scripts that look; they are run in order until one says that what it asks for is missing. */
  readonly inspect: (ruleset: Ruleset, capabilities: Capabilities) => readonly Script[];
  readonly parse: (ruleset: Ruleset, capabilities: Capabilities, answers: readonly Answer[]) => Observed;
  readonly plan: (ruleset: Ruleset, capabilities: Capabilities, observed: Observed) => Plan;
  /** A script whose answer shows what agents with other options have left in a family, ... */
  readonly inspectLeftovers: (family: Family, capabilities: Capabilities) => Script;
  /** ... and the names of the chains that it shows, other than `chain`. */
  readonly parseLeftovers: (chain: string | undefined, answer: Answer) => readonly string[];
}

export interface Tools {
  readonly command: string;
  readonly restore: string;
}

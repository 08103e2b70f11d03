/**
 * What a backend is: pure functions from rulesets to steps. A step is an effect as a value; a driver carries it
 * out, and it can be printed instead.
 */

import type { Family } from "../core/cidr.ts";
import type { Drift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Operation } from "../netlink/operations.ts";
import type { Answer, Script } from "../system/script.ts";

/** An nf_tables transaction to make. */
export interface Batch {
  readonly operations: readonly Operation[];
  /** Whether it concerns only what others have made: then the rest goes on without it. */
  readonly mayFail?: boolean;
  /** What it is for, to continue "error ..." in a message. */
  readonly purpose: string;
}

export type Step = Script | Batch;

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
  /** The ipset tool is there; asked for only when a list is long enough for a set. */
  readonly ipset?: boolean;
}

/** The state of the packet filter as far as it is ours, in the backend's own canonical words. */
export interface Observed {
  /** Undefined if there is no such chain. */
  readonly rules: readonly string[] | undefined;
  readonly jump: boolean;
  /** The elements of our set; undefined if there is none, or it was not looked for. */
  readonly set?: readonly string[] | undefined;
}

/** What has to be done, and why; no steps mean in sync. */
export interface Plan<S extends Step = Step> {
  readonly drift: readonly Drift[];
  readonly steps: readonly S[];
  /** Why nothing may be done at all. */
  readonly refusal?: string;
}

/** The iptables backend's way of holding a ruleset of one family. */
export interface Backend {
  readonly name: string;
  /** The names of the tools that this backend runs for a family. */
  readonly tools: (family: Family) => Tools;
  /** Scripts that look; they are run in order until one says that what it asks for is missing. */
  readonly inspect: (ruleset: Ruleset, capabilities: Capabilities) => readonly Script[];
  readonly parse: (ruleset: Ruleset, capabilities: Capabilities, answers: readonly Answer[]) => Observed;
  /** Whether the ruleset is long enough for a set, if the tool for it is there. */
  readonly wantsSet: (ruleset: Ruleset) => boolean;
  /** The script that shows our set, those that remove it, and the elements that are shown; undefined if there is no such set. */
  readonly inspectSet: (ruleset: Pick<Ruleset, "chain" | "family">) => Script;
  readonly discardSet: (ruleset: Pick<Ruleset, "chain" | "family">) => readonly Script[];
  readonly parseSet: (answer: Answer) => readonly string[] | undefined;
  readonly plan: (ruleset: Ruleset, capabilities: Capabilities, observed: Observed) => Plan<Script>;
  /** Whether the chain that a look has found has only rules of others. */
  readonly isOthers: (chain: string, observed: Observed) => boolean;
  /** Whether the answer of `inspectLeftovers` shows a jump to `chain` with our comment, whatever else it asks. */
  readonly hasJumpLike: (chain: string, answer: Answer) => boolean;
  /** Scripts that remove all that is ours in a family: what `observed` shows, and `jumps` jumps to it. */
  readonly remove: (
    ruleset: Pick<Ruleset, "chain" | "family">,
    capabilities: Capabilities,
    observed: Observed,
    jumps: number,
  ) => readonly Script[];
  /** A script whose answer shows what agents with other options have left in a family, ... */
  readonly inspectLeftovers: (family: Family, capabilities: Capabilities) => Script;
  /** ... and the names of the chains that it shows, other than `chain`. */
  readonly parseLeftovers: (chain: string | undefined, answer: Answer) => readonly string[];
  /** How many jumps of ours to `chain` the same answer shows. */
  readonly countJumps: (chain: string, answer: Answer) => number;
}

export interface Tools {
  readonly command: string;
  readonly restore: string;
}

/** The deciding part of the iptables backend: rulesets and answers of tools in, scripts out. */

import type { Plan } from "../backend/step.ts";
import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Answer, Script } from "../system/script.ts";
import type { OwnSet, SetRole } from "./ipset.ts";
import type { KernelInterface, Tools } from "./tools.ts";

/** A chain of one family, and its sets. */
export type Target = Pick<Ruleset, "chain" | "family">;

/** The capabilities of one family's tools; `version` is in their own words. */
export interface Capabilities {
  readonly version: string;
  /** The tool's kernel interface; tools before 1.8 know only the old one. */
  readonly variant: KernelInterface;
  /** `-C` exists (1.4.11). */
  readonly check: boolean;
  /** The option to wait for the xtables lock, if there is one (1.4.20; with seconds from 1.4.22). */
  readonly wait: readonly string[];
  /** The same for the restore tool (1.6.2, or patched earlier ones). */
  readonly restoreWait: readonly string[];
  /** MASQUERADE knows `--random-fully` (1.6.2). */
  readonly randomFully: boolean;
  /** The ipset tool exists; checked only when a list is long enough for a set. */
  readonly ipset?: boolean;
}

/** The state of our part of the packet filter, in the backend's own canonical words. */
export interface Observed {
  /** Undefined if there is no such chain. */
  readonly rules: readonly string[] | undefined;
  readonly jump: boolean;
  /** The elements of our sets; without those that do not exist, or were not read. */
  readonly sets?: Readonly<Partial<Record<SetRole, readonly string[]>>>;
}

/** Decides which scripts read and write a ruleset of one family. Pure. */
export interface IptablesPlanner {
  readonly name: string;
  /** The names of the tools that this backend runs for a family. */
  readonly tools: (family: Family) => Tools;
  /** Scripts that read; run them in order until one reports a missing object. */
  readonly inspection: (ruleset: Ruleset, capabilities: Capabilities) => readonly Script[];
  readonly parse: (ruleset: Ruleset, capabilities: Capabilities, answers: readonly Answer[]) => Observed;
  /** The sets that the ruleset is long enough for, if the tool exists. */
  readonly wantedSets: (ruleset: Ruleset) => readonly SetRole[];
  /** The script that shows one of our sets, those that remove it, and the elements in its answer; undefined if there is no such set. */
  readonly inspectSet: (set: OwnSet) => Script;
  readonly discardSet: (set: OwnSet) => readonly Script[];
  readonly parseSet: (answer: Answer) => readonly string[] | undefined;
  readonly plan: (ruleset: Ruleset, capabilities: Capabilities, observed: Observed) => Plan<Script>;
  /** Whether the observed chain has only foreign rules. */
  readonly isOthers: (chain: string, observed: Observed) => boolean;
  /** Whether the answer of `inspectLeftovers` shows a jump to `chain` with our comment, whatever else it matches. */
  readonly hasJumpLike: (chain: string, answer: Answer) => boolean;
  /** Scripts that remove all our objects in a family: those in `observed`, and `jumps` jumps to the chain. */
  readonly removal: (
    target: Target,
    capabilities: Capabilities,
    observed: Observed,
    jumps: number,
  ) => readonly Script[];
  /** A script whose answer shows leftovers of agents with different options in a family, ... */
  readonly inspectLeftovers: (family: Family, capabilities: Capabilities) => Script;
  /** ... and the names of the chains that it shows, other than `chain`. */
  readonly parseLeftovers: (chain: string | undefined, answer: Answer) => readonly string[];
  /** The number of our jumps to `chain` in the same answer. */
  readonly countJumps: (chain: string, answer: Answer) => number;
  /** The foreign rules that lead to `chain` in the same answer, in words. */
  readonly foreignJumps: (chain: string, answer: Answer) => readonly (readonly string[])[];
}

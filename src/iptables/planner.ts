/** The part of the iptables backend that decides: rulesets and answers of tools in, scripts out. */

import type { Plan } from "../backend/step.ts";
import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Answer, Script } from "../system/script.ts";
import type { KernelInterface, Tools } from "./tools.ts";

/** A chain of one family, and its set. */
export type Target = Pick<Ruleset, "chain" | "family">;

/** What the tools of one family can do; `version` is as they say it. */
export interface Capabilities {
  readonly version: string;
  /** The kernel interface behind the tool; tools before 1.8 know only the old one. */
  readonly variant: KernelInterface;
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

/** Decides what is to be asked and done for a ruleset of one family. Pure. */
export interface IptablesPlanner {
  readonly name: string;
  /** The names of the tools that this backend runs for a family. */
  readonly tools: (family: Family) => Tools;
  /** Scripts that look; they are run in order until one says that what it asks for is missing. */
  readonly inspection: (ruleset: Ruleset, capabilities: Capabilities) => readonly Script[];
  readonly parse: (ruleset: Ruleset, capabilities: Capabilities, answers: readonly Answer[]) => Observed;
  /** Whether the ruleset is long enough for a set, if the tool for it is there. */
  readonly wantsSet: (ruleset: Ruleset) => boolean;
  /** The script that shows our set, those that remove it, and the elements that are shown; undefined if there is no such set. */
  readonly inspectSet: (ruleset: Target) => Script;
  readonly discardSet: (ruleset: Target) => readonly Script[];
  readonly parseSet: (answer: Answer) => readonly string[] | undefined;
  readonly plan: (ruleset: Ruleset, capabilities: Capabilities, observed: Observed) => Plan<Script>;
  /** Whether the chain that a look has found has only rules of others. */
  readonly isOthers: (chain: string, observed: Observed) => boolean;
  /** Whether the answer of `inspectLeftovers` shows a jump to `chain` with our comment, whatever else it asks. */
  readonly hasJumpLike: (chain: string, answer: Answer) => boolean;
  /** Scripts that remove all that is ours in a family: what `observed` shows, and `jumps` jumps to it. */
  readonly removal: (
    target: Target,
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

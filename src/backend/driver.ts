/**
 * A backend at work on this machine. A backend's decisions are pure; a driver inspects the kernel for it, remembers the
 * capabilities of the tools, and carries out its steps.
 */

import type { Ruleset } from "../core/ruleset.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CommandError } from "../system/command-error.ts";
import type { FamilyReading } from "./asked-entries.ts";
import type { Span } from "./commit-log.ts";
import type { Plan } from "./step.ts";
import type { VerdictCount } from "./verdict-counters.ts";

/** The result of an inspection. */
export interface Inspection extends Plan {
  /** The generations of nf_tables' ruleset in which the drift came about, where that is known. */
  readonly span?: Span;
  /**
   * Whether other processes committed meanwhile: then the result may be outdated. False, after a write, if no other process did,
   * so that remaining drift is not their doing. Absent where that is not known.
   */
  readonly disturbed?: boolean;
  /** Foreign objects that could not be removed; our rules are correct nevertheless. Absent where nothing was read. */
  readonly remains?: readonly Remnant[];
}

/** An inspection without drift. */
export const IN_SYNC: Inspection = { drift: [], steps: [] };

/** Whether an inspection found our rules in sync; foreign objects next to them do not matter. */
export function isInForce({ steps, disturbed }: Inspection): boolean {
  const isRight = steps.every((step) => "mayFail" in step && step.mayFail === true);
  return isRight && disturbed !== true;
}

/** The backends, as `--backend` names them. */
export type BackendName = "iptables" | "nftables";

/** Finds rules of a backend without a tool, for an agent that uses another. */
export interface Traces {
  /** The places of an agent's rules with this chain, in the words that an operator would search for. Throws a failure. */
  readonly seen: (nftables: Nftables, chain: string, signal?: AbortSignal) => Promise<readonly string[]>;
  /** Whether there may be rules that only a tool can show. */
  readonly mayBeHidden: () => boolean;
}

/** One reading of the counters of our rules. */
export interface Counters {
  readonly verdicts: readonly VerdictCount[];
  /** By families that were read; absent if the backend counts no entries. */
  readonly entries?: readonly FamilyReading[];
}

export interface Driver {
  readonly name: BackendName;
  /** The rulesets that are inspected and changed together; if one group fails, the others continue. */
  readonly groups: (rulesets: readonly Ruleset[]) => readonly (readonly Ruleset[])[];
  /** The place of a group's rules, in the words that an operator would search for. */
  readonly place: (group: readonly Ruleset[]) => string;
  /**
   * The steps that bring a group in sync. Throws a failure if the kernel cannot be read. Only a `thorough` inspection reads state
   * that has no events, or that is expensive to read.
   */
  readonly inspect: (group: readonly Ruleset[], thorough: boolean) => Promise<Inspection>;
  /** Whether an inspection found everything in force as of this generation of nf_tables' ruleset, or that does not matter. */
  readonly knows: (generation: number) => boolean;
  /** Notes that the commit of this generation is over: later inspections see it. */
  readonly heard: (generation: number) => void;
  /**
   * Carries out a plan for a group, step by step, and inspects again: the state after a write decides. Throws a failure, and
   * skips the remaining steps.
   */
  readonly apply: (plan: Plan, group: readonly Ruleset[]) => Promise<Inspection>;
  /** The counters of our rules, where they can be read without a child process. */
  readonly counters?: () => Promise<Counters>;
  /** Removes all our objects, in every family; returns their places. */
  readonly remove: () => Promise<readonly string[]>;
  /** Removes a set that an earlier agent on the same backend has left and no rule uses any more. */
  readonly removeStaleSet: () => Promise<void>;
  /** Closes the driver's sockets. */
  readonly close: () => void;
}

/** The backend refuses to change the rules that it found, for this reason. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** A write has no visible effect, and no other process can be the reason: a tool or the kernel reports something wrong. */
export class Contradiction extends Error {
  override readonly name = "Contradiction";
}

/** The kinds of failure. */
export type FailureReason = "config" | "source" | "tool" | "nftables" | "netlink" | "refused";

/** The kind of a failure for which `isFailure` is true. */
export function reasonOf(error: Error): FailureReason {
  if (error instanceof CommandError || error instanceof Contradiction) return "tool";
  if (error instanceof NftablesError) return "nftables";
  return error instanceof Refusal ? "refused" : "netlink";
}

/** A failure of the environment, not of the agent: passes report and retry it. */
export function isFailure(error: unknown): error is Error {
  return (
    error instanceof CommandError ||
    error instanceof NftablesError ||
    error instanceof NetlinkUnavailable ||
    error instanceof Refusal ||
    error instanceof Contradiction
  );
}

/** A foreign object that stays in our table. */
export interface Remnant {
  readonly where: string;
  readonly why: string;
}

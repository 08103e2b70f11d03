/**
 * A backend at work on this machine. What a backend decides is pure; a driver looks at the kernel for it, keeps
 * what it has learned of the tools, and carries its steps out.
 */

import type { Ruleset } from "../core/ruleset.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CommandError } from "../system/command-error.ts";
import type { Span } from "./commit-log.ts";
import type { Plan } from "./step.ts";
import type { VerdictCount } from "./verdict-counters.ts";

/** What a look came to. */
export interface Inspection extends Plan {
  /** The generations of nf_tables' ruleset in which what differs has come about, where that can be told. */
  readonly span?: Span;
  /**
   * Whether others have committed in the midst of it: then what was seen may not hold any more. Of a look after a write also
   * false, if nobody else has, so that what still differs is not their doing. Absent where it cannot be told.
   */
  readonly disturbed?: boolean;
  /** What of others could not be removed; it does not keep the rules from being right. Absent where nothing was read. */
  readonly remains?: readonly Remnant[];
}

/** A look that found nothing to do. */
export const IN_SYNC: Inspection = { drift: [], steps: [] };

/** Whether a look has seen that our rules are as they should be; what others have beside them does not matter. */
export function isInForce({ steps, disturbed }: Inspection): boolean {
  const isRight = steps.every((step) => "mayFail" in step && step.mayFail === true);
  return isRight && disturbed !== true;
}

/** The backends, as `--backend` names them. */
export type BackendName = "iptables" | "nftables";

/** How it is seen without a tool that rules of a backend are there, for an agent that uses another. */
export interface Traces {
  /** The places of an agent's rules with this chain, as an operator would look for them. Throws a failure. */
  readonly seen: (nftables: Nftables, chain: string, signal?: AbortSignal) => Promise<readonly string[]>;
  /** Whether there may be some that only a tool can show. */
  readonly mayBeHidden: () => boolean;
}

export interface Driver {
  readonly name: BackendName;
  /** The rulesets that are looked at and changed together; if one group fails, the others go on. */
  readonly groups: (rulesets: readonly Ruleset[]) => readonly (readonly Ruleset[])[];
  /** Where a group's rules stand, as an operator would look for them. */
  readonly place: (group: readonly Ruleset[]) => string;
  /**
   * What has to be done to bring a group in force. Throws a failure if the kernel cannot be looked at. A look that is not
   * `thorough` leaves out what nothing tells of and what is dear to ask for.
   */
  readonly inspect: (group: readonly Ruleset[], thorough: boolean) => Promise<Inspection>;
  /** Whether it has been seen that everything is in force as of this generation of nf_tables' ruleset, or that does not matter. */
  readonly knows: (generation: number) => boolean;
  /** Takes note that the commit of this generation is over: what is looked at from now on shows it. */
  readonly heard: (generation: number) => void;
  /**
   * Carries out a plan for a group, step by step, and looks again: what is seen after a write decides. Throws a failure,
   * and leaves the rest undone.
   */
  readonly apply: (plan: Plan, group: readonly Ruleset[]) => Promise<Inspection>;
  /** What our rules have counted, where that can be asked without a child process. */
  readonly counters?: () => Promise<readonly VerdictCount[]>;
  /** Removes all that is ours, in every family; says what was there. */
  readonly remove: () => Promise<readonly string[]>;
  /** Removes what an earlier agent on the same backend has left and no rule uses any more. */
  readonly removeStaleSet: () => Promise<void>;
  /** Gives back what the driver holds open. */
  readonly close: () => void;
}

/** The backend refuses to touch what it found, and says why. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** What was written does not show, and nobody else can be the reason: a tool or the kernel says what is not so. */
export class Contradiction extends Error {
  override readonly name = "Contradiction";
}

/** What kinds of failure are told apart. */
export type FailureReason = "config" | "source" | "tool" | "nftables" | "netlink" | "refused";

/** The kind of a failure that `isFailure` knows. */
export function reasonOf(error: Error): FailureReason {
  if (error instanceof CommandError || error instanceof Contradiction) return "tool";
  if (error instanceof NftablesError) return "nftables";
  return error instanceof Refusal ? "refused" : "netlink";
}

/** The world failing, as opposed to the agent: reported and tried again. */
export function isFailure(error: unknown): error is Error {
  return (
    error instanceof CommandError ||
    error instanceof NftablesError ||
    error instanceof NetlinkUnavailable ||
    error instanceof Refusal ||
    error instanceof Contradiction
  );
}

/** Something of others that stays in our table. */
export interface Remnant {
  readonly where: string;
  readonly why: string;
}

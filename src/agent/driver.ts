/**
 * A backend at work on this machine. What a backend decides is pure; a driver looks at the kernel for it, keeps
 * what it has learned of the tools, and carries its steps out.
 */
import type { Plan } from "../backend/backend.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { NetlinkUnavailable, NftablesError } from "../nftables/errors.ts";
import type { VerdictCount } from "../observe/verdict-counters.ts";
import type { Span } from "../source/witness.ts";
import { CommandError } from "./exec.ts";

/** What a look came to. */
export interface Look extends Plan {
  /** The generations of nf_tables' ruleset in which what differs has come about, where that can be told. */
  readonly span?: Span;
}

export interface Driver {
  /** The backend, as `--backend` names it. */
  readonly name: "iptables" | "nftables";
  /** The rulesets that are looked at and changed together; if one group fails, the others go on. */
  readonly groups: (rulesets: readonly Ruleset[]) => readonly (readonly Ruleset[])[];
  /** Where a group's rules stand, as an operator would look for them. */
  readonly place: (group: readonly Ruleset[]) => string;
  /**
   * What has to be done to bring a group in force. Throws a failure if the kernel cannot be looked at. A look that is not
   * `thorough` leaves out what nothing tells of and what is dear to ask for.
   */
  readonly look: (group: readonly Ruleset[], thorough: boolean) => Promise<Look>;
  /** Whether it has been seen that everything is in force as of this generation of nf_tables' ruleset, or that does not matter. */
  readonly knows: (generation: number) => boolean;
  /** Carries out a plan for a group, step by step. Throws a failure, and leaves the rest undone. */
  readonly apply: (plan: Plan, group: readonly Ruleset[]) => Promise<void>;
  /** What our rules have counted, where that can be asked without a child process. */
  readonly counters?: () => Promise<readonly VerdictCount[]>;
  /** Removes all that is ours, in every family; says what was there. */
  readonly remove: () => Promise<readonly string[]>;
  /** Removes what an earlier agent on the same backend has left and no rule uses any more. */
  readonly tidy: () => Promise<void>;
  /** Gives back what the driver holds open. */
  readonly close: () => void;
}

/** The backend refuses to touch what it found, and says why. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** What kinds of failure are told apart. */
export type FailureReason = "config" | "source" | "tool" | "nftables" | "netlink" | "refused";

/** The kind of a failure that `isFailure` knows. */
export function reasonOf(error: Error): FailureReason {
  if (error instanceof CommandError) return "tool";
  if (error instanceof NftablesError) return "nftables";
  return error instanceof Refusal ? "refused" : "netlink";
}

/** The world failing, as opposed to the agent: reported and tried again. */
export function isFailure(error: unknown): error is Error {
  return (
    error instanceof CommandError ||
    error instanceof NftablesError ||
    error instanceof NetlinkUnavailable ||
    error instanceof Refusal
  );
}

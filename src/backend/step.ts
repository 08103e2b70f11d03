/**
 * What a backend is: pure functions from rulesets to steps. A step is an effect as a value; a driver carries it
 * out, and it can be printed instead.
 */

import type { Drift } from "../core/drift.ts";
import type { Operation } from "../netlink/operations.ts";
import type { Script } from "../system/script.ts";

/** An nf_tables transaction to make. */
export interface Batch {
  readonly operations: readonly Operation[];
  /** Whether it concerns only what others have made: then the rest goes on without it. */
  readonly mayFail?: boolean;
  /** What it is for, to continue "error ..." in a message. */
  readonly purpose: string;
}

export type Step = Script | Batch;

/** What has to be done, and why; no steps mean in sync. */
export interface Plan<S extends Step = Step> {
  readonly drift: readonly Drift[];
  readonly steps: readonly S[];
  /** Why nothing may be done at all. */
  readonly refusal?: string;
}

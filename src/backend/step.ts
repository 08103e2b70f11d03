/**
 * A backend is a set of pure functions from rulesets to steps. A step is an effect as a value: a driver carries it out, and
 * commands can print it instead.
 */

import type { Drift } from "../core/drift.ts";
import type { Operation } from "../netlink/operations.ts";
import type { Script } from "../system/script.ts";

/** An nf_tables transaction to make. */
export interface Batch {
  readonly operations: readonly Operation[];
  /** Whether it concerns only foreign objects: then a failure does not stop the other steps. */
  readonly mayFail?: boolean;
  /** Its purpose, to continue "error ..." in a message. */
  readonly purpose: string;
}

export type Step = Script | Batch;

/** The steps to take, and the drift that they repair; no steps mean in sync. */
export interface Plan<S extends Step = Step> {
  readonly drift: readonly Drift[];
  readonly steps: readonly S[];
  /** Why the backend refuses to do anything. */
  readonly refusal?: string;
}

/** The content of the status page, as values. */

import type { Family } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import type { Readings } from "../metrics.ts";
import type { Healed, PassStatus, Status } from "../status.ts";

/** The whole content of the page. Lists may be of any length: the page cuts them, and says by how much. */
export interface PageView {
  readonly status: Status;
  /** The time of this view; RFC 3339. */
  readonly at: string;
  /** The machine's name. */
  readonly host: string;
  /** Node's version, as in `v24.1.0`. */
  readonly nodeVersion: string;
  /** Absent where there are no counts. */
  readonly counters?: readonly Counter[];
  /**
   * The addresses that keep the pod's address, sorted and disjoint; null where the last pass has not seen the rules in
   * force. A family without rules of the agent is absent.
   */
  readonly kept: Readonly<Partial<Record<Family, readonly Interval[] | null>>>;
  /** Newest first. */
  readonly passes: readonly PassStatus[];
  /** Newest first. */
  readonly healed: readonly Healed[];
  readonly pressure?: Pressure;
}

/** The kernel's counts for a verdict, or for one of its rules or sets. */
export interface Counter {
  readonly family: string;
  /** `keep`, `masquerade`, `local` */
  readonly verdict: string;
  /** The rule or set, if there are several of a verdict. */
  readonly rule?: string;
  readonly packets: number;
  readonly bytes: number;
}

/** The effects of SNAT on the node, as far as the kernel shows them. */
export interface Pressure extends Pick<Readings, "conntrack" | "conntrackCounters" | "snatPortShare"> {
  /** The destination towards which most source ports of one node address are in use. */
  readonly busiest?: {
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly nodeAddress: string;
  };
}

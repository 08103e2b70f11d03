/** What the status page shows, as values. */

import type { Family } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import type { Readings } from "../metrics.ts";
import type { PassStatus, Status } from "../status.ts";

/** All that the page shows. Lists may be of any length: the page cuts them, and says by how much. */
export interface PageView {
  readonly status: Status;
  /** When this was put together; RFC 3339. */
  readonly at: string;
  /** The machine's name. */
  readonly host: string;
  /** Node's version, as in `v24.1.0`. */
  readonly nodeVersion: string;
  /** Absent where nobody has counted. */
  readonly counters?: readonly Counter[];
  /**
   * The addresses that keep the pod's address, sorted and disjoint; null where the last pass has not seen the rules in force.
   * A family that the agent leaves alone is absent.
   */
  readonly kept: Readonly<Partial<Record<Family, readonly Interval[] | null>>>;
  /** Newest first. */
  readonly passes: readonly PassStatus[];
  /** Newest first. */
  readonly healed: readonly Healed[];
  readonly pressure?: Pressure;
}

/** What the kernel has counted for a verdict, or for one of its rules or sets. */
export interface Counter {
  readonly family: string;
  /** `keep`, `masquerade`, `local` */
  readonly verdict: string;
  /** The rule or set, if there are several of a verdict. */
  readonly rule?: string;
  readonly packets: number;
  readonly bytes: number;
}

/** A difference that somebody else had made, and that was put right. */
export interface Healed {
  readonly at: string;
  /** What differed, such as `rule 2 of IP-MASQ-AGENT`. */
  readonly where: string;
  readonly kind: "missing" | "extra" | "changed";
  /** Null: nobody saw who it was. */
  readonly culprit: { readonly process: string; readonly pid: number } | null;
}

/** What SNAT does to the node, as far as the kernel tells. */
export interface Pressure extends Pick<Readings, "conntrack" | "conntrackCounters" | "snatPortShare"> {
  /** The destination that most source ports of one address of the node are in use towards. */
  readonly busiest?: {
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly nodeAddress: string;
  };
}

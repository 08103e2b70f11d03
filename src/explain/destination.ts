/** Destinations as `explain` knows them. */

import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";

/** The addresses of a destination. */
export interface Destination {
  /** The operand; a host name followed by its address. */
  readonly asked: string;
  readonly family: Family;
  readonly interval: Interval;
  readonly port?: number;
  /** As a URL says it. */
  readonly protocol?: string;
}

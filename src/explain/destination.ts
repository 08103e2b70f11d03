/** Destinations as `explain` knows them. */

import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";

/** Addresses that are asked about. */
export interface Destination {
  /** As it was asked; a host name with the address behind it. */
  readonly asked: string;
  readonly family: Family;
  readonly interval: Interval;
  readonly port?: number;
  /** As a URL says it. */
  readonly protocol?: string;
}

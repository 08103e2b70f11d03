/** The command line's part in reading the configuration. */
export interface ConfigOptions {
  readonly noMasqAllReservedRanges: boolean;
  readonly enableIPv6: boolean;
  /**
   * A family with more entries than this goes into a set, of which we compute the elements: entries that iptables
   * may read otherwise than we do are then refused. Absent: there are no sets.
   */
  readonly setsAbove?: number;
}

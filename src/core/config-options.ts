/** The command line's part in reading the configuration. */
export interface ConfigOptions {
  readonly noMasqAllReservedRanges: boolean;
  readonly enableIPv6: boolean;
  /**
   * A family with more entries than this goes into a set, whose elements we compute: we then reject entries that
   * iptables may read differently. Absent: there are no sets.
   */
  readonly setsAbove?: number;
}

/** The destinations that keep the pods' address where no configuration says which. */

/** What the command line says about the defaults. */
export interface DefaultsOptions {
  readonly noMasqAllReservedRanges: boolean;
}

/** RFC 1918. */
const PRIVATE_CIDRS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/** RFC 6598, 6890, 5737, 7526, 6815, 5737, 5737 and the former class E of RFC 5735. */
const RESERVED_CIDRS = [
  "100.64.0.0/10",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
];

/** The built-in list for these options, as the Go program orders it. */
export function defaultCidrs({ noMasqAllReservedRanges }: DefaultsOptions): readonly string[] {
  return noMasqAllReservedRanges ? [...PRIVATE_CIDRS, ...RESERVED_CIDRS] : PRIVATE_CIDRS;
}

/** The kernel's route for a packet, as far as it was looked up. */

export type Route =
  | {
      readonly kind: "unicast";
      readonly out: string;
      /** Undefined if the destination is on the link itself. */
      readonly nextHop?: bigint;
      /** The address that MASQUERADE takes; undefined: not known. */
      readonly masquerade?: bigint;
    }
  /** To the node itself. */
  | { readonly kind: "local" }
  /** Nowhere. */
  | { readonly kind: "none"; readonly why: string };

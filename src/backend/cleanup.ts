/** Finding the rules and sets of a backend, for the command `cleanup`. */

import type { NetlinkUnavailable } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { Run } from "../system/script.ts";

export interface CleanupWorld {
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
}

export interface CleanupOptions {
  readonly masqChain: string;
  /** Every chain that one of our jumps leads to, and the table of any agent. */
  readonly allChains: boolean;
  /** Also chains that are ours by name, or by a jump, but have only foreign rules. */
  readonly force: boolean;
}

/** One of our objects. */
export interface Find {
  /** In the words that an operator would search for. */
  readonly place: string;
  /** Throws a failure. A missing object is not one. */
  readonly remove: () => Promise<void>;
}

/** The objects found, in the order of their removal, and warnings about those that stay or could not be read. */
export interface Finds {
  readonly finds: readonly Find[];
  readonly warnings: readonly string[];
}

/** The inputs of a backend's search. */
export interface Search {
  readonly options: CleanupOptions;
  readonly world: CleanupWorld;
  /** nf_tables; the reason why it is not accessible; or undefined if the kernel has none. */
  readonly nftables: Nftables | NetlinkUnavailable | undefined;
}

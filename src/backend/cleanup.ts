/** Finding what a backend has made, for the command `cleanup`. */

import type { NetlinkUnavailable } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { Run } from "../system/script.ts";

export interface CleanupWorld {
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
}

export interface CleanupOptions {
  readonly masqChain: string;
  /** Every chain that a jump of ours leads to, and a table of any agent's. */
  readonly allChains: boolean;
  /** Also chains of ours by name, or by a jump, in which others have all rules. */
  readonly force: boolean;
}

/** Something of ours. */
export interface Find {
  /** As an operator would look for it. */
  readonly place: string;
  /** Throws a failure. Not there any more is fine. */
  readonly remove: () => Promise<void>;
}

/** What is there, in the order in which it has to go, and what could not be looked at or stays. */
export interface Finds {
  readonly finds: readonly Find[];
  readonly warnings: readonly string[];
}

/** What a backend looks with. */
export interface Search {
  readonly options: CleanupOptions;
  readonly world: CleanupWorld;
  /** nf_tables; why it cannot be spoken to; or undefined if the kernel has none. */
  readonly nftables: Nftables | NetlinkUnavailable | undefined;
}

/** Removes what is foreign in our table, as far as the kernel lets it. */

import { isNotFound, NftablesError } from "../netlink/errors.ts";
import type { Operation } from "../netlink/operations.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { foreignKey } from "./foreign.ts";

/** So many refusals are got around one by one in a transaction, then all of it stays. */
const REFUSALS = 16;

/**
 * Makes the transaction, without what the kernel refuses; that is noted in `staying`, with the reason. Says how many transactions
 * were made.
 */
export async function sweep(
  nftables: Nftables,
  operations: readonly Operation[],
  cut: AbortSignal,
  staying: Map<string, string>,
): Promise<number> {
  // A flush is one with our rules, which are put back in the same transaction.
  const isOne = operations.some(({ op }) => op !== "delete by handle");
  let left = operations;
  for (let refusals = 0; left.length > 0; refusals++) {
    try {
      await nftables.batch(left, cut);
      return 1;
    } catch (error) {
      if (!(error instanceof NftablesError)) throw error;
      const isAll = isOne || error.operation === undefined || refusals === REFUSALS;
      const refused = isAll ? left : left.filter((one) => one === error.operation);
      // What is gone already needs no removal.
      if (!isNotFound(error)) for (const one of refused) staying.set(foreignKey(one), reasonOf(error));
      left = isAll ? [] : left.filter((one) => !refused.includes(one));
    }
  }
  return 0;
}

/** Without the operation, which is named where it is said. */
function reasonOf({ code, message }: NftablesError): string {
  return message.slice(Math.max(0, message.indexOf(`${code}: `)));
}

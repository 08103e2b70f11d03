/** Removes foreign objects from our table, as far as the kernel permits. */

import { isNotFound, NftablesError } from "../netlink/errors.ts";
import type { Operation } from "../netlink/operations.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { foreignKey } from "./foreign.ts";

/** A transaction is retried without the rejected operation this many times; then all its objects stay. */
const REFUSALS = 16;

/**
 * Makes the transaction without the operations that the kernel rejects, which it notes in `staying` with the reason. Returns the
 * number of transactions.
 */
export async function sweep(
  nftables: Nftables,
  operations: readonly Operation[],
  cut: AbortSignal,
  staying: Map<string, string>,
): Promise<number> {
  // A flush belongs to our rules, which the same transaction puts back.
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
      // An object that is already gone needs no removal.
      if (!isNotFound(error)) for (const one of refused) staying.set(foreignKey(one), reasonOf(error));
      left = isAll ? [] : left.filter((one) => !refused.includes(one));
    }
  }
  return 0;
}

/** The reason without the operation, which the log line names. */
function reasonOf({ code, message }: NftablesError): string {
  return message.slice(Math.max(0, message.indexOf(`${code}: `)));
}

/**
 * Whether `auto` may choose differently by now: the traces of kube-proxy and the kubelet in nf_tables. Reading them over
 * netlink takes some hundred microseconds, so that the deciding tools run only if something has come or gone.
 */

import { isFailure } from "../backend/driver.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

type Sign = (nftables: Nftables) => Promise<unknown>;

/**
 * The signs as a text, which is the same as long as nothing has come or gone. Reads them on a socket that it opens when first
 * needed, and again after a failure. Undefined where it cannot read, or where there is nothing to look for.
 */
export function createSigns(
  signs: readonly Sign[],
  open: () => Promise<Nftables>,
): () => Promise<string | undefined> {
  let connection: Promise<Nftables> | undefined;
  return async () => {
    if (signs.length === 0) return undefined;
    try {
      connection ??= open();
      const nftables = await connection;
      const seen: unknown[] = [];
      for (const read of signs) seen.push(await read(nftables));
      return seen.join();
    } catch (error) {
      if (!isFailure(error)) throw error;
      connection?.then((nftables) => nftables.close()).catch(() => {});
      connection = undefined;
      return undefined;
    }
  };
}

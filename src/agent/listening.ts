/** Listening to the kernel's events until that ends, for one reason or another. */
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Listening } from "../netlink/events.ts";

/**
 * Listens until `stop` is called, the kernel rejects it or `signal` is aborted; returns the reason. `opened` is called once it
 * listens: there were no events for what happened before.
 */
export async function listenUntil(
  listen: (stop: (reason: unknown) => void) => Promise<Listening>,
  opened: () => void,
  signal: AbortSignal,
): Promise<unknown> {
  let listening: Listening | undefined;
  let abort = () => {};
  try {
    return await new Promise((resolve, reject) => {
      abort = () => resolve(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      listen(resolve).then((now) => {
        if (signal.aborted) return now.close();
        listening = now;
        opened();
      }, reject);
    });
  } catch (error) {
    if (error instanceof NftablesError || error instanceof NetlinkUnavailable) return error;
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    listening?.close();
  }
}

/**
 * Moving between backends: new rules first, then the removal of the old ones. While both exist, both give the same
 * verdicts, so that no packet gets a wrong one in between; the next start finishes an interrupted move.
 */

import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import { isUnsupported } from "../netlink/errors.ts";

/** Removes the rules of the other backends. Throws a failure, and leaves the rest for the next time. */
export async function removeOthers(others: () => Promise<readonly Driver[]>, log: Logger): Promise<void> {
  for (const driver of await others()) {
    try {
      for (const place of await driver.remove())
        log.info(`removed rules of an agent with another backend: ${place}`);
    } catch (error) {
      // Without access to nf_tables, our table never existed.
      if (!isUnsupported(error)) throw error;
    } finally {
      driver.close();
    }
  }
}

/**
 * Moving between backends: new rules first, then the old ones away. Both give the same verdicts while both stand,
 * so that no packet is treated wrongly in between; a move that was cut short is finished at the next start.
 */

import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import { isUnsupported } from "../netlink/errors.ts";

/** Removes what is not used any more. Throws a failure, and leaves the rest for the next time. */
export async function removeOthers(others: () => Promise<readonly Driver[]>, log: Logger): Promise<void> {
  for (const driver of await others()) {
    try {
      for (const place of await driver.remove())
        log.info(`removed what an agent with another backend had left: ${place}`);
    } catch (error) {
      // Where nf_tables cannot be spoken to, there never was a table of ours.
      if (!isUnsupported(error)) throw error;
    } finally {
      driver.close();
    }
  }
}

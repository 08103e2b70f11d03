/**
 * Listings by iptables-nft: version 1.8.9 can end one early, without a word, while somebody commits. So no rule is believed to be
 * missing because one listing lacks it.
 */

import type { Run, Script } from "../system/script.ts";
import type { NamedVariant } from "./tools.ts";

/** How often a table is listed at most. */
const LISTINGS = 5;

/** Lists until `isSure` of what came, at most `attempts` times: where others never cease, the last listing has to do. */
export async function listUntil<T>(
  list: () => Promise<T>,
  isSure: (found: T, before: T | undefined) => boolean,
  attempts: number,
): Promise<T> {
  let found = await list();
  let before: T | undefined;
  for (let attempt = 1; attempt < attempts && !isSure(found, before); attempt++) {
    before = found;
    found = await list();
  }
  return found;
}

/** The listing that comes twice. The legacy variant reads a table at once. */
export function listSteadily(script: Script, variant: NamedVariant, run: Run): Promise<string> {
  return listUntil(
    async () => (await run(script)).stdout,
    (found, before) => variant === "legacy" || (before !== undefined && rulesIn(found) === rulesIn(before)),
    LISTINGS,
  );
}

/** A listing without its time and counters, which change by themselves. */
function rulesIn(listing: string): string {
  return listing.replaceAll(/^#.*$|\[\d+:\d+\]/gm, "");
}

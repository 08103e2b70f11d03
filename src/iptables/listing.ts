/**
 * Listings by iptables-nft: version 1.8.9 can end one early, without an error, while another process commits. So one listing
 * without a rule does not prove that the rule is missing.
 */

import type { Run, Script } from "../system/script.ts";
import type { NamedVariant } from "./tools.ts";

/** The largest number of listings of a table. */
const LISTINGS = 5;

/** Lists until `isSure` of the result, at most `attempts` times; then returns the last listing. */
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

/** Lists until two listings agree. The legacy variant reads a table atomically. */
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

/**
 * The message of iptables-nft about a table with objects that nft made and iptables cannot show. It comes on stdout with exit
 * code 0 when it saves, on stderr with 1 when it lists; adding to such a table works nevertheless (tried with 1.8.9).
 */
export function isIncompatible(output: string): boolean {
  return /incompatible, use 'nft' tool/.test(output);
}

/**
 * Finds all our rules and sets on this machine, of every backend. The search changes nothing: it runs a tool only
 * where the kernel has a table for it, since some tools create the table that they list.
 *
 * Ours are, in iptables, the chain of the configured name, the jumps with our comment that lead to it, and its sets;
 * in nftables, the table with our comment. Anything else stays, with a warning if an agent made it.
 */

import type { CleanupOptions, CleanupWorld, Finds, Search } from "../backend/cleanup.ts";
import { isUnsupported, NetlinkUnavailable } from "../netlink/errors.ts";

/** Searches with the `finders` of every backend. Throws a failure if an existing one cannot be read. */
export async function lookForOurs(
  options: CleanupOptions,
  world: CleanupWorld,
  finders: readonly ((search: Search) => Promise<Finds>)[],
): Promise<Finds> {
  const nftables = await open(world);
  try {
    const found = [];
    for (const find of finders) found.push(await find({ options, world, nftables }));
    return {
      finds: found.flatMap(({ finds }) => finds),
      warnings: found.flatMap(({ warnings }) => warnings),
    };
  } finally {
    if (nftables !== undefined && "close" in nftables) nftables.close();
  }
}

/** Without the addon the tools still work; without nf_tables in the kernel there is nothing to search. */
async function open(world: CleanupWorld): Promise<Search["nftables"]> {
  try {
    const nftables = await world.open();
    await nftables.generation();
    return nftables;
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    return error instanceof NetlinkUnavailable ? error : undefined;
  }
}

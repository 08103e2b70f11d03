/**
 * Finds everything of ours on this machine, whichever backend made it. Looking changes nothing: a tool is run only
 * where the kernel says that there is a table for it, since some tools make what they are to list.
 *
 * In iptables ours are the chain of the configured name and the jumps with our comment that lead to it, and its sets;
 * in nftables it is the table with our comment. Others' are never touched, but mentioned if an agent made them.
 */

import type { CleanupOptions, CleanupWorld, Finds, Search } from "../backend/cleanup.ts";
import { isUnsupported, NetlinkUnavailable } from "../netlink/errors.ts";

/** Looks with every backend's `finders`. Throws a failure if one that is there cannot be looked at. */
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

/** Without the addon the tools still tell; without nf_tables in the kernel there is nothing to look at. */
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

/**
 * Which tables of the old kernel interface exist. A legacy tool may only look at one that does: looking would
 * make it, and from then on iptables-nft would warn of it for ever.
 */
import { accessSync, constants, readFileSync } from "node:fs";
import type { Family } from "../core/cidr.ts";

const LISTS: Readonly<Record<Family, string>> = {
  IPv4: "/proc/net/ip_tables_names",
  IPv6: "/proc/net/ip6_tables_names",
};

/** The names of a family's legacy tables. */
export function legacyTables(family: Family): readonly string[] {
  try {
    return readFileSync(LISTS[family], "utf8").split("\n");
  } catch {
    // No such list: the kernel has no legacy tables.
    return [];
  }
}

/** Whether their names may be read: only root may, so that for others there seem to be none. */
export function canSeeLegacyTables(family: Family): boolean {
  try {
    accessSync(LISTS[family], constants.R_OK);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

/**
 * The tables of the old kernel interface that exist. A legacy tool may only look at an existing one: looking would
 * create it, and from then on iptables-nft would warn of it for ever.
 */
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { derive, type Fact, isKnown, known, readText } from "./fact.ts";

/** The names of a family's legacy tables. Only root may read them. */
export function readLegacyTables(family: Family, what: string, proc = "/proc"): Fact<readonly string[]> {
  const list = readText(`${proc}/net/${NFT_FAMILIES[family]}_tables_names`, what);
  // No such list: the kernel has no legacy tables.
  return derive(list, (text = "") => text.split("\n"));
}

/** The names of a family's legacy tables; for a non-root user there seem to be none. */
export function legacyTables(family: Family): readonly string[] {
  return known(readLegacyTables(family, "")) ?? [];
}

/** Whether a family has a legacy nat table. */
export function hasLegacyNat(family: Family): boolean {
  return legacyTables(family).includes("nat");
}

/** Whether this process may read the names. */
export function canSeeLegacyTables(family: Family): boolean {
  return isKnown(readLegacyTables(family, ""));
}

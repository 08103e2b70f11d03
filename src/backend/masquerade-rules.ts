/** How many masquerade rules a ruleset may take: links, addresses and ranges of ports multiply them. */
import type { Ruleset } from "../core/ruleset.ts";
import { counted } from "../text/plural.ts";

/** With the keys about sources, links and addresses, for one family: both have room in one transaction of nf_tables. */
export const MAX_MASQUERADE_RULES = 128;

/** The lists that make a rule several, with their lengths, in the words of keys and flags. */
export function multiplyingLists({ scope, masquerade: { pool, toPorts } }: Ruleset): string[] {
  const { interfaces = [] } = scope ?? {};
  return [
    ...(interfaces.length > 1 ? [`outputInterfaces (${counted(interfaces.length, "name")})`] : []),
    ...(pool !== undefined && pool.addresses.length > 1
      ? [`outputAddresses (${pool.addresses.length} on this node)`]
      : []),
    ...(toPorts.length > 0 ? [`--to-ports (${counted(toPorts.length, "range")})`] : []),
  ];
}

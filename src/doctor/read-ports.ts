/** How many source ports are in use, for `doctor`: a sample, as for the series. */

import { openConntrack } from "../conntrack/conntrack.ts";
import { measureShares } from "../conntrack/port-shares.ts";
import { portOwner } from "../conntrack/usage.ts";
import type { PortRange } from "../core/ports.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import { ownAddressTexts } from "../system/addresses.ts";
import { isKnown } from "../system/fact.ts";
import type { Facts } from "./facts.ts";

/** Nothing is asked where no connections are tracked: asking would load the kernel's module. */
export async function readPortShare(
  conntrack: Facts["conntrack"],
  toPorts: readonly PortRange[],
): Promise<Facts["portShare"]> {
  if (!isKnown(conntrack) || conntrack.value === undefined) return { value: undefined };
  const owner = portOwner(ownAddressTexts(), toPorts);
  try {
    const table = { list: openConntrack().list, entries: conntrack.value.count };
    return { value: { ...(await measureShares(table, owner, () => performance.now())), ports: owner.ports } };
  } catch (error) {
    if (!(error instanceof NftablesError || error instanceof NetlinkUnavailable)) throw error;
    const cause =
      error instanceof NftablesError && error.code === "EPERM" ? { cause: "permission" as const } : {};
    return { unknown: "how many source ports are in use", why: error.message, minor: true, ...cause };
  }
}

/** Reads all rules of the node as the tracer takes them. */

import { attempt } from "../backend/attempt.ts";
import { ownAddresses } from "../system/addresses.ts";
import { isKnown } from "../system/fact.ts";
import { readLiveRules } from "../trace/live.ts";
import { measureTables, readNftTables } from "../trace/live-netlink.ts";
import type { Facts } from "./facts.ts";
import { connected, type NftWorld } from "./read-nftables.ts";

const WHAT = "rules on the way of pods' packets";

/** What cannot be read here is minor: the facts of each table say it with its remedy. */
export async function readTrace({
  run,
  open,
  signal,
}: NftWorld): Promise<Pick<Facts, "trace" | "notTraced">> {
  const found = await attempt(WHAT, () =>
    readLiveRules(run, {
      readTables: () => connected(open, (nftables) => readNftTables(nftables, signal)),
      measureTables: () => connected(open, (nftables) => measureTables(nftables, signal)),
    }),
  );
  if (!isKnown(found)) return { trace: { ...found, minor: true }, notTraced: [] };
  const { hooks, notRead } = found.value;
  return {
    trace: { value: { hooks, local: ownAddresses() } },
    notTraced: notRead.map((why) => ({ unknown: WHAT, why, minor: true })),
  };
}

/** Reads all rules of the node as the tracer takes them. */

import { attempt } from "../backend/attempt.ts";
import { connected } from "../netlink/socket/transport.ts";
import { ownAddresses } from "../system/addresses.ts";
import { isKnown, known } from "../system/fact.ts";
import { readLiveRules } from "../trace/live.ts";
import { measureTables, readNftTables, type TableSizes } from "../trace/live-netlink.ts";
import type { Facts } from "./facts.ts";
import type { NftWorld } from "./read-nftables.ts";

const WHAT = "rules on the way of pods' packets (forward, untracked, service-masquerade)";

/** To read 15,000 rules as the tracer takes them costs 80 MB and 3 s, beside an agent whose memory is limited. */
const MANY_RULES = 10_000;

/** Why rules are not read, if there are too many of them. */
export function refuseMany(sizes: TableSizes): Facts["notTraced"][number] | undefined {
  const rules = [...sizes.values()].reduce((sum, count) => sum + count, 0);
  if (rules <= MANY_RULES) return undefined;
  const why = `nf_tables has ${rules} rules, and doctor reads at most ${MANY_RULES}: ip-masq-agent explain --live follows single packets through all of them`;
  return { unknown: WHAT, why, minor: true };
}

/** What cannot be read here is minor: the facts of each table say it with its remedy. */
export async function readTrace({
  run,
  open,
  signal,
}: NftWorld): Promise<Pick<Facts, "trace" | "notTraced">> {
  const measure = () => connected(open, (nftables) => measureTables(nftables, signal));
  const sizes = await attempt(WHAT, measure);
  // Where netlink cannot be asked, the tools may.
  const refusal = refuseMany(known(sizes) ?? new Map());
  if (refusal !== undefined) return { trace: refusal, notTraced: [] };
  const found = await attempt(WHAT, () =>
    readLiveRules(run, {
      readTables: () => connected(open, (nftables) => readNftTables(nftables, signal)),
      measureTables: measure,
    }),
  );
  if (!isKnown(found)) return { trace: { ...found, minor: true }, notTraced: [] };
  const { hooks, notRead } = found.value;
  return {
    trace: { value: { hooks, local: ownAddresses() } },
    notTraced: notRead.map((why) => ({ unknown: WHAT, why, minor: true })),
  };
}

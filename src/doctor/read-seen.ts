/** The counts of our rules and of pods' links within an interval. */

import { isFailure } from "../backend/driver.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { known, readText } from "../system/fact.ts";
import type { Facts, OwnRules, OwnSide } from "./facts.ts";

/** One reading: packets by backend and by link. */
export interface Counts {
  readonly bySide: ReadonlyMap<OwnSide, number>;
  readonly byLink: ReadonlyMap<string, number>;
}

/** Reads all counters that there are: which of them matter is known later. */
export async function readCounts(
  sides: readonly OwnSide[],
  { proc, open, ...rules }: OwnRules & { readonly open: () => Promise<Nftables> } & { readonly proc: string },
): Promise<Counts> {
  const read = sides.map(async (side) => [side, await attemptCount(side, open, rules)] as const);
  const found = (await Promise.all(read)).flatMap(([side, count]) =>
    count === undefined ? [] : [[side, count] as const],
  );
  return {
    bySide: new Map(found),
    byLink: receivedPackets(known(readText(`${proc}/net/dev`, "links' counters")) ?? ""),
  };
}

/** Without rules there is nothing to count, and other checks say so. */
async function attemptCount(
  side: OwnSide,
  open: () => Promise<Nftables>,
  rules: OwnRules,
): Promise<number | undefined> {
  try {
    return await connected(open, (nftables) => side.count(nftables, rules));
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}

/** Packets that came in, by link, from the text of /proc/net/dev. */
export function receivedPackets(text: string): ReadonlyMap<string, number> {
  const rows = text.matchAll(/^\s*([^\s:]+):\s*\d+\s+(\d+)\s/gm);
  return new Map([...rows].map(([, name = "", packets]) => [name, Number(packets)]));
}

/** The difference of two readings; undefined where the backend's rules were not counted in both, or were written meanwhile. */
export function countsBetween(
  [before, after]: readonly [Counts, Counts],
  { own, links, intervalMs }: Pick<Facts, "own" | "links"> & { readonly intervalMs: number },
): Facts["seen"] {
  const [first, last] = [before.bySide.get(own), after.bySide.get(own)];
  const ways = known(links)?.links;
  if (first === undefined || last === undefined || last < first || ways === undefined) return undefined;
  const names = [...ways].flatMap(([name, isPods]) => (isPods ? name : []));
  const sum = ({ byLink }: Counts) => names.reduce((all, name) => all + (byLink.get(name) ?? 0), 0);
  return { counted: last - first, received: Math.max(0, sum(after) - sum(before)), intervalMs };
}

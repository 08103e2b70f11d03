/** Reads tables of nf_tables over netlink, whoever made them. */

import { observedHooks } from "../backend/nft-observed.ts";
import type { TableState } from "../backend/nftables-sets.ts";
import type { Hook } from "../backend/trace-model.ts";
import { ifFound } from "../nftables/errors.ts";
import type { SetKey, TableName } from "../nftables/operations.ts";
import { chains, elements, rules, sets, table, tables } from "../nftables/query.ts";
import type { Nftables } from "../nftables/transport.ts";

/** Everything in a table. Of a set with other keys than addresses, only that it is there. */
export async function readTableState(
  nftables: Nftables,
  name: TableName,
  signal: AbortSignal,
): Promise<TableState> {
  const found = await ifFound(nftables.read(table(name), signal));
  if (found === undefined) return { table: undefined, chains: [], sets: [], rules: [] };
  const filled = [];
  for (const set of await nftables.read(sets(name), signal)) {
    const isKnown = set.key === "ipv4_addr" || set.key === "ipv6_addr";
    const asked = { ...name, set: set.set, key: set.key as SetKey };
    filled.push({ set, elements: isKnown ? await nftables.read(elements(asked), signal) : [] });
  }
  const all = await nftables.read(chains(name), signal);
  const each = [];
  for (const { chain } of all) each.push(...(await nftables.read(rules({ ...name, chain }), signal)));
  return { table: found, chains: all, sets: filled, rules: each };
}

/** The base chains of every table that can translate what leaves the node, in the order of the tables. */
export async function readNftHooks(nftables: Nftables, signal: AbortSignal): Promise<Hook[]> {
  const hooks: Hook[] = [];
  for (const { family, table } of await nftables.read(tables(), signal)) {
    if (family !== "ip" && family !== "ip6" && family !== "inet") continue;
    hooks.push(...observedHooks(await readTableState(nftables, { family, table }, signal)));
  }
  return hooks;
}

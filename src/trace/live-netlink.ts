/** Reads tables of nf_tables over netlink, whoever made them. */

import { FAMILIES } from "../netlink/constants.ts";
import { ifFound, isNotFound, isUnsupported, NftablesError } from "../netlink/errors.ts";
import type { SetKey, TableName } from "../netlink/operations.ts";
import { chains, elements, rules, sets, table, tables } from "../netlink/query.ts";
import { type RawTableName, rawChains, rawElements, rawRules, rawSets, ruleCount } from "../netlink/raw.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { NO_TABLE, type TableState } from "../nftables/sets.ts";
import { readObjects } from "../nftables/table-reader.ts";
import { type Hook, TABLE_FAMILIES } from "./model.ts";
import { type RawTable, rawHooks } from "./nft/table.ts";

/** Everything in a table. Of a set with other keys than addresses, only that it is there. */
export async function readTableState(
  nftables: Nftables,
  name: TableName,
  signal: AbortSignal,
): Promise<TableState> {
  const found = await ifFound(nftables.read(table(name), signal));
  if (found === undefined) return NO_TABLE;
  const filled = [];
  for (const set of await nftables.read(sets(name), signal)) {
    const isKnown = set.key === "ipv4_addr" || set.key === "ipv6_addr";
    const asked = { ...name, set: set.set, key: set.key as SetKey };
    filled.push({ set, elements: isKnown ? await nftables.read(elements(asked), signal) : [] });
  }
  const all = await nftables.read(chains(name), signal);
  const each = [];
  for (const { chain } of all) each.push(...(await nftables.read(rules({ ...name, chain }), signal)));
  const objects = await readObjects(nftables, name, signal);
  return { table: found, chains: all, sets: filled, rules: each, objects };
}

/** The tables of nf_tables, as `inet filter`, with how many rules they have; without dormant ones. */
export type TableSizes = ReadonlyMap<string, number>;

/** What the tables say to packets of pods, and which there are. */
export interface NftTables {
  readonly tables: TableSizes;
  readonly hooks: readonly Hook[];
}

/** How often it is read at most until nobody has made a commit meanwhile. */
const ATTEMPTS = 5;

/** Reads every table, in their order. Throws a failure, also where others commit all the time. */
export async function readNftTables(nftables: Nftables, signal: AbortSignal): Promise<NftTables> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const before = await nftables.generation(signal);
    try {
      const names = await listTables(nftables, signal);
      const hooks: Hook[] = [];
      const tables = new Map<string, number>();
      for (const name of names) {
        const read = await readRawTable(nftables, name, signal);
        hooks.push(...rawHooks(read));
        tables.set(keyOf(name), read.rules.length);
      }
      if (before === (await nftables.generation(signal))) return { tables, hooks };
    } catch (error) {
      // It could say its generation, so nf_tables is there.
      if (isUnsupported(error)) throw unreadable("EIO", (error as Error).message);
      // What was there a moment ago is gone.
      if (!isNotFound(error)) throw error;
    }
  }
  throw unreadable(
    "EINTR",
    `others commit so fast that the ruleset changed each of the ${ATTEMPTS} times it was read`,
  );
}

function unreadable(code: string, why: string): NftablesError {
  return new NftablesError({ code, what: "nf_tables", why });
}

/** Which tables there are, with how many rules. */
export async function measureTables(nftables: Nftables, signal: AbortSignal): Promise<TableSizes> {
  const sizes = new Map<string, number>();
  for (const name of await listTables(nftables, signal))
    sizes.set(keyOf(name), await nftables.read(ruleCount(name), signal));
  return sizes;
}

function keyOf({ family, table }: RawTableName): string {
  return `${family} ${table}`;
}

/** The tables that can matter to packets of pods. */
async function listTables(nftables: Nftables, signal: AbortSignal): Promise<RawTableName[]> {
  return (await nftables.read(tables(), signal)).flatMap(({ family, table, dormant }) =>
    isFamily(family) && family in TABLE_FAMILIES && !dormant ? [{ family, table }] : [],
  );
}

function isFamily(name: string): name is RawTableName["family"] {
  return name in FAMILIES;
}

async function readRawTable(nftables: Nftables, name: RawTableName, signal: AbortSignal): Promise<RawTable> {
  const sets = [];
  for (const set of await nftables.read(rawSets(name), signal))
    sets.push({ set, elements: await nftables.read(rawElements(name, set.name), signal) });
  const chains = await nftables.read(rawChains(name), signal);
  return { ...name, sets, chains, rules: await nftables.read(rawRules(name), signal) };
}

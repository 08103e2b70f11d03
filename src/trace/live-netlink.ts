/** Reads tables of nf_tables over netlink, whichever program made them. */

import { readSteadily } from "../backend/read-steadily.ts";
import { FAMILIES, SET_FLAGS } from "../netlink/constants.ts";
import { isNotFound, isUnsupported, NftablesError } from "../netlink/errors.ts";
import { tables } from "../netlink/query.ts";
import {
  fewElements,
  type RawTableName,
  rawChains,
  rawElements,
  rawRules,
  rawSets,
  ruleCount,
  rulesInto,
} from "../netlink/raw.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { BaseChain } from "./iptables-save.ts";
import { type Hook, TABLE_FAMILIES } from "./model.ts";
import { collectHooks, type RawTable, rawHooks } from "./nft/table.ts";

/** The tables of nf_tables, as `inet filter`, with how many rules they have; without dormant ones. */
export type TableSizes = ReadonlyMap<string, number>;

/** The hooks that packets of pods pass, and the tables that exist. */
export interface NftTables {
  readonly tables: TableSizes;
  readonly hooks: readonly Hook[];
}

/** The number of attempts to read without a commit meanwhile. */
const ATTEMPTS = 5;

/** Reads every table, in their order. Throws a failure, also where other processes commit all the time. */
export async function readNftTables(nftables: Nftables, signal: AbortSignal): Promise<NftTables> {
  const read = () => readTables(nftables, signal);
  const found = await readSteadily(nftables, read, ATTEMPTS, signal).catch((error: unknown) => {
    // In each attempt, an object disappeared between two reads.
    if (!isNotFound(error)) throw error;
    return undefined;
  });
  if (found?.isSteady === true) return found.value;
  throw unreadable(
    "EINTR",
    `others commit so fast that the ruleset changed each of the ${ATTEMPTS} times it was read`,
  );
}

async function readTables(nftables: Nftables, signal: AbortSignal): Promise<NftTables> {
  const hooks: Hook[] = [];
  const tables = new Map<string, number>();
  try {
    for (const name of await listTables(nftables, signal)) {
      const read = await readRawTable(nftables, name, signal);
      hooks.push(...rawHooks(read));
      tables.set(keyOf(name), read.rules.length);
    }
  } catch (error) {
    // It could say its generation, so nf_tables is there.
    if (isUnsupported(error)) throw unreadable("EIO", (error as Error).message);
    throw error;
  }
  return { tables, hooks };
}

function unreadable(code: string, why: string): NftablesError {
  return new NftablesError({ code, what: "nf_tables", why });
}

/** A table, and the names of its sets that have too many elements to read: what looks them up is undecided. */
export interface NftTable {
  readonly hooks: readonly Hook[];
  readonly leftOut: readonly string[];
}

/** An element of a map is a way through a rule of its own, and one of several places a list of conditions. */
const MANY_ELEMENTS = { plain: 200_000, map: 20_000 } as const;

/** Reads once, however many of iptables' tables need that view. */
export function readOnce(read: () => Promise<NftTables>): () => Promise<NftTables> {
  let tables: Promise<NftTables> | undefined;
  return () => {
    tables ??= read();
    return tables;
  };
}

/** The base chains of one table, `inet filter`, with all that they lead to, but for those that are read elsewhere. Throws a failure. */
export async function readNftTable(
  nftables: Nftables,
  name: string,
  signal: AbortSignal,
  isElsewhere: (chain: BaseChain) => boolean,
): Promise<NftTable> {
  const at = name.indexOf(" ");
  const [family, table] = [name.slice(0, at), name.slice(at + 1)];
  if (!isFamily(family)) return { hooks: [], leftOut: [] };
  const found = { family, table };
  const chains = await nftables.read(rawChains(found), signal);
  const isWanted = chains.some(
    ({ chain, base }) =>
      base !== undefined && !isElsewhere({ chain, isNat: base.type === "nat", priority: base.priority }),
  );
  if (!isWanted) return { hooks: [], leftOut: [] };
  const sets: RawTable["sets"][number][] = [];
  const leftOut: string[] = [];
  for (const set of await nftables.read(rawSets(found), signal)) {
    const isPlain = (set.flags & (SET_FLAGS.map | SET_FLAGS.concat)) === 0;
    const most = isPlain ? MANY_ELEMENTS.plain : MANY_ELEMENTS.map;
    const elements = await nftables.read(fewElements(found, set.name, most), signal);
    if (elements === undefined) leftOut.push(set.name);
    else sets.push({ set, elements });
  }
  const hooks = await nftables.read(
    rulesInto(found, () => collectHooks({ ...found, sets, chains })),
    signal,
  );
  return { hooks: hooks.filter((hook) => !isElsewhere(hook)), leftOut };
}

/** The tables that exist, with their numbers of rules. */
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

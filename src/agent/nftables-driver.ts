/** The nftables backend at work: one netlink socket, no child process. */
import type { Plan } from "../backend/backend.ts";
import { isOwnTable, planTable } from "../backend/nftables.ts";
import { CHAIN, TABLE, type TableState } from "../backend/nftables-sets.ts";
import { isNotFound } from "../nftables/errors.ts";
import type { SetKey } from "../nftables/operations.ts";
import { chains, elements, rules, sets, table } from "../nftables/query.ts";
import { type Nftables, openNftables } from "../nftables/transport.ts";
import { type Driver, Refusal } from "./driver.ts";

/** A driver for an agent whose chain would have this name: the table's comment says it. */
export function nftablesDriver(
  chain: string,
  signal: AbortSignal,
  open: () => Promise<Nftables> = openNftables,
): Driver {
  let connection: Promise<Nftables> | undefined;
  /** Opened when first needed, and anew after a failure. */
  const connect = (): Promise<Nftables> => {
    connection ??= open().catch((error: unknown) => {
      connection = undefined;
      throw error;
    });
    return connection;
  };

  return {
    // One table holds both families, so they stand and fall together.
    groups: (rulesets) => [rulesets],
    place: () => `table inet ${TABLE.table}`,
    async look(group): Promise<Plan> {
      const nftables = await connect();
      return planTable(group, await readTable(nftables, signal), nftables.maxBatchBytes);
    },
    async apply({ steps, refusal }) {
      if (refusal !== undefined) throw new Refusal(refusal);
      const nftables = await connect();
      for (const step of steps) if ("operations" in step) await nftables.batch(step.operations, signal);
    },
    async remove() {
      const nftables = await connect();
      const found = await readOwn(nftables, signal);
      if (found === undefined || !isOwnTable(found, chain)) return [];
      await nftables.batch([{ op: "delete table", ...TABLE }], signal);
      return [`table inet ${TABLE.table}`];
    },
    close() {
      connection?.then((nftables) => nftables.close()).catch(() => {});
      connection = undefined;
    },
  };
}

/** Everything in our table. Of a set with other keys than addresses, only that it is there. */
async function readTable(nftables: Nftables, signal: AbortSignal): Promise<TableState> {
  const found = await readOwn(nftables, signal);
  if (found === undefined) return { table: undefined, chains: [], sets: [], rules: [] };
  const observed = await nftables.read(sets(TABLE), signal);
  const filled = [];
  for (const set of observed) {
    const isKnown = set.key === "ipv4_addr" || set.key === "ipv6_addr";
    const name = { ...TABLE, set: set.set, key: set.key as SetKey };
    filled.push({ set, elements: isKnown ? await nftables.read(elements(name), signal) : [] });
  }
  return {
    table: found,
    chains: await nftables.read(chains(TABLE), signal),
    sets: filled,
    rules: await nftables.read(rules(CHAIN), signal),
  };
}

async function readOwn(nftables: Nftables, signal: AbortSignal): Promise<TableState["table"]> {
  try {
    return await nftables.read(table(TABLE), signal);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

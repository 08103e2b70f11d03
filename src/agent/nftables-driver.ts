/** The nftables backend at work: one netlink socket, no child process. */
import type { Plan } from "../backend/backend.ts";
import { isOwnTable, planTable, tooManyRules } from "../backend/nftables.ts";
import { CHAIN, TABLE, type TableState } from "../backend/nftables-sets.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { ifFound, isNotFound } from "../nftables/errors.ts";
import type { SetKey } from "../nftables/operations.ts";
import { chains, elements, rules, sets, table } from "../nftables/query.ts";
import { type Nftables, openNftables } from "../nftables/transport.ts";
import { type Driver, Refusal } from "./driver.ts";

/** What the table holds, as of a generation of the ruleset: as long as that has not moved, there is nothing to look at. */
interface Known {
  readonly generation: number;
  readonly state: TableState;
  /** The group that the state is in sync with. */
  readonly group: readonly Ruleset[];
}

/** How often the table is read at most when others commit meanwhile. */
const READ_ATTEMPTS = 3;

/** A driver for an agent whose chain would have this name: the table's comment says it. */
export function nftablesDriver(
  chain: string,
  signal: AbortSignal,
  open: () => Promise<Nftables> = openNftables,
): Driver {
  let connection: Promise<Nftables> | undefined;
  let known: Known | undefined;
  /** What the table holds once the plan of the last look is carried out. */
  let next: Known | undefined;

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
      const current = known?.generation === (await nftables.generation(signal)) ? known : undefined;
      next = current;
      if (current?.group === group) return { drift: [], steps: [] };
      const { generation, state } = current ?? (await readAtOnce(nftables, signal));
      const plan = planTable(group, state, nftables.maxBatchBytes);
      next = { generation, state: plan.after, group };
      const refusal = plan.refusal ?? tooManyRules(plan, group, nftables.maxBatchBytes);
      return refusal === undefined ? plan : { drift: [], steps: [], refusal };
    },
    async apply({ steps, refusal }) {
      if (refusal !== undefined) throw new Refusal(refusal);
      const planned = next;
      known = undefined;
      const nftables = await connect();
      for (const step of steps) if ("operations" in step) await nftables.batch(step.operations, signal);
      if (planned === undefined) return;
      // Each transaction moves the generation on by one; if it is further, somebody else was at work as well.
      const generation = planned.generation + steps.length;
      if (generation === (await nftables.generation(signal))) known = { ...planned, generation };
    },
    async remove() {
      const nftables = await connect();
      const found = await readOwn(nftables, signal);
      if (found === undefined || !isOwnTable(found, chain)) return [];
      await nftables.batch([{ op: "delete table", ...TABLE }], signal);
      return [`table inet ${TABLE.table}`];
    },
    // Whatever is unused in our table is drift, and goes with the first pass.
    tidy: async () => {},
    close() {
      connection?.then((nftables) => nftables.close()).catch(() => {});
      connection = undefined;
    },
  };
}

/**
 * The table as of one generation: it takes several questions, and if somebody commits in between, or removes what is
 * asked for, they are asked again. On a node where that never ends, the last answers will do: a commit after the
 * generation makes the next look read anew.
 */
async function readAtOnce(
  nftables: Nftables,
  signal: AbortSignal,
): Promise<Pick<Known, "generation" | "state">> {
  for (let attempt = 1; ; attempt++) {
    const generation = await nftables.generation(signal);
    try {
      const state = await readTable(nftables, signal);
      if (attempt === READ_ATTEMPTS || generation === (await nftables.generation(signal)))
        return { generation, state };
    } catch (error) {
      if (!isNotFound(error) || attempt === READ_ATTEMPTS) throw error;
    }
  }
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

function readOwn(nftables: Nftables, signal: AbortSignal): Promise<TableState["table"]> {
  return ifFound(nftables.read(table(TABLE), signal));
}

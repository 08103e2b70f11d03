/** The nftables backend at work: one netlink socket, no child process. */
import { isOwnTable, planTable, tooManyRules } from "../backend/nftables.ts";
import { TABLE, type TableState } from "../backend/nftables-sets.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { type Nftables, openNftables } from "../nftables/transport.ts";
import type { Span, Testimony } from "../source/witness.ts";
import { type Driver, type Look, Refusal } from "./driver.ts";
import { createTableReader, readOwnTable } from "./table-reader.ts";
import { countTable } from "./verdict-count.ts";

/** What the table holds, as of a generation of the ruleset: as long as that has not moved, there is nothing to look at. */
interface Known {
  readonly generation: number;
  readonly state: TableState;
  /** The group that the state is in sync with. */
  readonly group: readonly Ruleset[];
}

/** What the driver needs of the world; without a witness, every change of the ruleset may be one of ours. */
export interface NftablesWorld {
  readonly open?: () => Promise<Nftables>;
  readonly now?: () => number;
  /** Who has committed, as far as it was heard; and what the driver itself has committed. */
  readonly between?: (span: Span) => Promise<Testimony>;
  readonly claim?: (span: Span) => void;
}

/** A driver for an agent whose chain would have this name: the table's comment says it. */
export function nftablesDriver(chain: string, signal: AbortSignal, world: NftablesWorld = {}): Driver {
  const { open = openNftables, now = () => 0, claim, between } = world;
  const reader = createTableReader(now, between ?? (async () => ({ commits: [], complete: false })));
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
    name: "nftables",
    // One table holds both families, so they stand and fall together.
    groups: (rulesets) => [rulesets],
    place: () => `table inet ${TABLE.table}`,
    async look(group, thorough): Promise<Look> {
      const nftables = await connect();
      const before = known;
      const isNewest = before !== undefined && before.generation === (await nftables.generation(signal));
      next = isNewest ? before : undefined;
      const isRead = isNewest && !(thorough && reader.isDue());
      if (isRead && before.group === group) return { drift: [], steps: [] };
      const { generation, state } = isRead ? before : await reader.read(nftables, before, thorough, signal);
      const plan = planTable(group, state, nftables.maxBatchBytes);
      next = { generation, state: plan.after, group };
      const span = before?.group === group ? { from: before.generation, to: generation } : undefined;
      const refusal = plan.refusal ?? tooManyRules(plan, group, nftables.maxBatchBytes);
      if (refusal !== undefined) return { drift: [], steps: [], refusal };
      if (plan.steps.length === 0) known = { generation, state, group };
      return span === undefined ? plan : { ...plan, span };
    },
    knows: (generation) => known !== undefined && known.generation >= generation,
    async apply({ steps, refusal }) {
      if (refusal !== undefined) throw new Refusal(refusal);
      if (steps.length === 0) return;
      const planned = next;
      known = undefined;
      const nftables = await connect();
      for (const step of steps) if ("operations" in step) await nftables.batch(step.operations, signal);
      if (planned === undefined) return;
      // Each transaction moves the generation on by one; if it is further, somebody else was at work as well.
      const generation = planned.generation + steps.length;
      const state = await reader.settle(nftables, planned.state, signal);
      if (generation !== (await nftables.generation(signal))) return;
      claim?.({ from: planned.generation, to: generation });
      known = { ...planned, state, generation };
    },
    counters: async () => countTable(await connect(), signal),
    async remove() {
      const nftables = await connect();
      const found = await readOwnTable(nftables, signal);
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

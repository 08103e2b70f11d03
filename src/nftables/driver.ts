/** The nftables backend at work: one netlink socket, no child process. */

import type { Span, Testimony } from "../backend/commit-log.ts";
import { type Driver, IN_SYNC, type Look, Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { ifFound, NftablesError } from "../netlink/errors.ts";
import { type Nftables, openNftables } from "../netlink/socket/transport.ts";
import { countTable } from "./counters.ts";
import { isOwnTable, ownedTable, planTable, tooManyRules } from "./plan.ts";
import { TABLE, type TableState } from "./sets.ts";
import { sweep } from "./sweep.ts";
import { createTableReader, type Reading, readOwnTable } from "./table-reader.ts";

/** What the table holds, as of a generation of the ruleset: as long as that has not moved, there is nothing to look at. */
interface Known {
  readonly generation: number;
  readonly state: TableState;
  /** The group that the state is in sync with. */
  readonly group: readonly Ruleset[];
  /** Whether all commits up to that generation were over when it was read. */
  readonly isSettled: boolean;
}

/** What the driver needs of the world; without a witness, every change of the ruleset may be one of ours. */
export interface NftablesWorld {
  readonly open?: () => Promise<Nftables>;
  readonly now?: () => number;
  /** Who has committed, as far as it was heard; and what the driver itself has committed. */
  readonly between?: (span: Span) => Promise<Testimony>;
  readonly claim?: (span: Span) => void;
  /** Which process has a netlink port, for an operator. */
  readonly ownerOf?: (port: number) => string;
  /** Cuts transactions short; those that have begun to change something go on although the agent is told to end. */
  readonly cut?: AbortSignal;
}

/** A driver for an agent whose chain would have this name: the table's comment says it. */
export function nftablesDriver(chain: string, signal: AbortSignal, world: NftablesWorld = {}): Driver {
  const { open = openNftables, now = () => 0, claim, between, ownerOf, cut = signal } = world;
  const reader = createTableReader(now, between ?? (async () => ({ commits: [], complete: false })));
  let connection: Promise<Nftables> | undefined;
  let known: Known | undefined;
  /** What the table holds once the plan of the last look is carried out. */
  let next: Omit<Known, "group"> | undefined;
  /** Whether a transaction has failed while others committed: what they removed may be why, but not time after time. */
  let isExcused = false;
  /** All commits up to this generation are over. */
  let over = -1;
  /** What of others could not be removed; it is tried again with the next thorough look. */
  const staying = new Map<string, string>();

  /** Opened when first needed, and anew after a failure. */
  const connect = (): Promise<Nftables> => {
    connection ??= open().catch((error: unknown) => {
      connection = undefined;
      throw error;
    });
    return connection;
  };

  const ownedBy = (table: TableState["table"]) =>
    ownedTable(table, table?.owner === undefined ? undefined : ownerOf?.(table.owner));

  /** What a reading of the table leaves to do; if nothing, it is what is known. */
  const weigh = (
    reading: Reading,
    group: readonly Ruleset[],
    newest: number,
    maxBatchBytes: number,
  ): Look => {
    const plan = planTable(group, reading.state, maxBatchBytes, staying);
    const isSettled = reading.generation <= newest;
    // What is not there yet, no commit under way can touch.
    const isFresh = reading.state.table === undefined;
    next = { generation: reading.generation, state: plan.after, isSettled: isSettled || isFresh };
    const refusal = ownedBy(reading.state.table) ?? plan.refusal ?? tooManyRules(plan, group, maxBatchBytes);
    if (refusal !== undefined) return { drift: [], steps: [], refusal };
    if (plan.steps.length === 0) known = { ...reading, group, isSettled };
    return plan;
  };

  /** Makes transactions, and says how many; a first failure while others commit only ends them. */
  const commit = async (
    nftables: Nftables,
    steps: Plan["steps"],
    from: number | undefined,
  ): Promise<number> => {
    let commits = 0;
    try {
      for (const step of steps) {
        if (!("operations" in step)) continue;
        if (step.mayFail === true) commits += await sweep(nftables, step.operations, cut, staying);
        else {
          await nftables.batch(step.operations, cut);
          commits++;
        }
      }
      isExcused = false;
    } catch (error) {
      const isAlone = from === undefined || from + commits === (await nftables.generation(signal));
      if (!(error instanceof NftablesError) || isAlone || isExcused) throw error;
      isExcused = true;
    }
    return commits;
  };

  /** Looks after `commits` transactions that should have made `planned` of what was read. */
  const check = async (
    nftables: Nftables,
    planned: typeof next,
    commits: number,
    group: readonly Ruleset[],
  ): Promise<Look> => {
    // Each transaction moves the generation on by one; if it is further, somebody else was at work as well.
    const from = planned?.generation ?? 0;
    const to = from + commits;
    const isAlone = planned !== undefined && to === (await nftables.generation(signal));
    if (isAlone) {
      claim?.({ from, to });
      over = Math.max(over, to);
    }
    // If it is gone by now, nothing of it is left to be known.
    const isUndisturbed = isAlone && planned.isSettled;
    const state = isUndisturbed ? await ifFound(reader.settle(nftables, planned.state, signal)) : undefined;
    const newest = over;
    const own = state && { generation: to, state, isWritten: true };
    const reading = await reader.read(
      nftables,
      { before: own, thorough: false, entries: countEntries(group) },
      signal,
    );
    const left = weigh(reading, group, newest, nftables.maxBatchBytes);
    return left.steps.length === 0
      ? left
      : { ...left, disturbed: !isUndisturbed || reading.generation !== to };
  };

  return {
    name: "nftables",
    // One table holds both families, so they stand and fall together.
    groups: (rulesets) => [rulesets],
    place: () => `table inet ${TABLE.table}`,
    async look(group, thorough): Promise<Look> {
      const nftables = await connect();
      const before = known;
      const newest = over;
      const isNewest =
        before?.isSettled === true && before.generation === (await nftables.generation(signal));
      next = isNewest ? before : undefined;
      const isRead = isNewest && !(thorough && (reader.isDue() || staying.size > 0));
      if (thorough) staying.clear();
      if (isRead && before.group === group) return IN_SYNC;
      const reading = isRead
        ? before
        : await reader.read(nftables, { before, thorough, entries: countEntries(group) }, signal);
      const look = weigh(reading, group, newest, nftables.maxBatchBytes);
      if (before?.group !== group || look.refusal !== undefined) return look;
      return { ...look, span: { from: before.generation, to: reading.generation } };
    },
    knows: (generation) => known !== undefined && known.generation >= generation + (known.isSettled ? 0 : 1),
    heard(generation) {
      over = Math.max(over, generation);
    },
    async apply({ steps, refusal }, group): Promise<Look> {
      if (refusal !== undefined) throw new Refusal(refusal);
      if (steps.length === 0) return IN_SYNC;
      const planned = next;
      known = undefined;
      const nftables = await connect();
      const commits = await commit(nftables, steps, planned?.generation);
      return check(nftables, planned, commits, group);
    },
    counters: async () => countTable(await connect(), signal),
    async remove() {
      const nftables = await connect();
      const found = await readOwnTable(nftables, signal);
      if (found === undefined || !isOwnTable(found, chain)) return [];
      const refusal = ownedBy(found);
      if (refusal !== undefined) throw new Refusal(refusal);
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

function countEntries(group: readonly Ruleset[]): number {
  return group.reduce((sum, { entries }) => sum + entries.length, 0);
}

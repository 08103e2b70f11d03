/** The nftables backend at work: one netlink socket, no child process. */

import type { Attribution, Span } from "../backend/commit-log.ts";
import { type Driver, IN_SYNC, type Inspection, Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { ifFound, NftablesError } from "../netlink/errors.ts";
import { type Nftables, openNftables } from "../netlink/socket/transport.ts";
import { countTable } from "./counters.ts";
import { isOwnTable, ownedTable, planTable, tooManyRules } from "./plan.ts";
import { TABLE, type TableState } from "./sets.ts";
import { sweep } from "./sweep.ts";
import { createTableReader, type Reading, readOwnTable, type TableReader } from "./table-reader.ts";

/** What the table holds, as of a generation of the ruleset: as long as that has not moved, there is nothing to look at. */
interface Known {
  readonly generation: number;
  readonly state: TableState;
  /** The group that the state is in sync with. */
  readonly group: readonly Ruleset[];
  /** Whether all commits up to that generation were over when it was read. */
  readonly isSettled: boolean;
}

/** What the driver needs of the world; without a commit log, every change of the ruleset may be one of ours. */
export interface NftablesWorld {
  readonly open?: () => Promise<Nftables>;
  readonly now?: () => number;
  /** Who has committed, as far as it was heard; and what the driver itself has committed. */
  readonly between?: (span: Span) => Promise<Attribution>;
  readonly claim?: (span: Span) => void;
  /** Which process has a netlink port, for an operator. */
  readonly ownerOf?: (port: number) => string;
  /** Cuts transactions short; those that have begun to change something go on although the agent is told to end. */
  readonly cut?: AbortSignal;
}

/** What a driver works with, and what it remembers. */
interface Context {
  readonly reader: TableReader;
  readonly world: NftablesWorld;
  readonly signal: AbortSignal;
  known: Known | undefined;
  /** What the table holds once the plan of the last look is carried out. */
  next: Omit<Known, "group"> | undefined;
  /** Whether a transaction has failed while others committed: what they removed may be why, but not time after time. */
  isExcused: boolean;
  /** All commits up to this generation are over. */
  over: number;
  /** What of others could not be removed; it is tried again with the next thorough look. */
  readonly staying: Map<string, string>;
}

/** A driver for an agent whose chain would have this name: the table's comment says it. */
export function nftablesDriver(chain: string, signal: AbortSignal, world: NftablesWorld = {}): Driver {
  const { now = () => 0, between = async () => ({ commits: [], complete: false }) } = world;
  const context: Context = {
    reader: createTableReader(now, between),
    world,
    signal,
    known: undefined,
    next: undefined,
    isExcused: false,
    over: -1,
    staying: new Map(),
  };
  const { connect, close } = createConnection(world.open ?? openNftables);
  return {
    name: "nftables",
    // One table holds both families, so they stand and fall together.
    groups: (rulesets) => [rulesets],
    place: () => `table inet ${TABLE.table}`,
    inspect: async (group, thorough) => inspect(context, await connect(), group, thorough),
    knows: (generation) => {
      const { known } = context;
      return known !== undefined && known.generation >= generation + (known.isSettled ? 0 : 1);
    },
    heard: (generation) => noteOver(context, generation),
    async apply({ steps, refusal }, group) {
      if (refusal !== undefined) throw new Refusal(refusal);
      if (steps.length === 0) return IN_SYNC;
      const planned = context.next;
      context.known = undefined;
      const nftables = await connect();
      const commits = await commit(context, nftables, steps, planned?.generation);
      return check(context, nftables, planned, commits, group);
    },
    counters: async () => countTable(await connect(), signal),
    async remove() {
      const nftables = await connect();
      const found = await readOwnTable(nftables, signal);
      if (found === undefined || !isOwnTable(found, chain)) return [];
      const refusal = ownedBy(world, found);
      if (refusal !== undefined) throw new Refusal(refusal);
      await nftables.batch([{ op: "delete table", ...TABLE }], signal);
      return [`table inet ${TABLE.table}`];
    },
    // Whatever is unused in our table is drift, and goes with the first pass.
    removeStaleSet: async () => {},
    close,
  };
}

/** A connection that is opened when first needed, and again after it could not be. */
function createConnection(open: () => Promise<Nftables>) {
  let connection: Promise<Nftables> | undefined;
  return {
    connect: (): Promise<Nftables> => {
      connection ??= open().catch((error: unknown) => {
        connection = undefined;
        throw error;
      });
      return connection;
    },
    close() {
      connection?.then((nftables) => nftables.close()).catch(() => {});
      connection = undefined;
    },
  };
}

function noteOver(context: Context, generation: number): void {
  context.over = Math.max(context.over, generation);
}

function ownedBy({ ownerOf }: NftablesWorld, table: TableState["table"]): string | undefined {
  return ownedTable(table, table?.owner === undefined ? undefined : ownerOf?.(table.owner));
}

/** What a reading of the table leaves to do; if nothing, it is what is known. */
function weigh(
  context: Context,
  reading: Reading,
  group: readonly Ruleset[],
  newest: number,
  maxBatchBytes: number,
): Inspection {
  const { table } = reading.state;
  const plan = planTable(group, reading.state, maxBatchBytes, context.staying);
  const isSettled = reading.generation <= newest;
  // What is not there yet, no commit under way can touch.
  const isFresh = table === undefined;
  context.next = { generation: reading.generation, state: plan.after, isSettled: isSettled || isFresh };
  const refusal = ownedBy(context.world, table) ?? plan.refusal ?? tooManyRules(plan, group, maxBatchBytes);
  if (refusal !== undefined) return { drift: [], steps: [], refusal };
  if (plan.steps.length === 0) context.known = { ...reading, group, isSettled };
  return plan;
}

async function inspect(
  context: Context,
  nftables: Nftables,
  group: readonly Ruleset[],
  thorough: boolean,
): Promise<Inspection> {
  const { reader, signal, staying } = context;
  const before = context.known;
  const newest = context.over;
  const isNewest = before?.isSettled === true && before.generation === (await nftables.generation(signal));
  context.next = isNewest ? before : undefined;
  const isRead = isNewest && !(thorough && (reader.isDue() || staying.size > 0));
  if (thorough) staying.clear();
  if (isRead && before.group === group) return IN_SYNC;
  const reading = isRead
    ? before
    : await reader.read(nftables, { before, thorough, entries: countEntries(group) }, signal);
  const found = weigh(context, reading, group, newest, nftables.maxBatchBytes);
  if (before?.group !== group || found.refusal !== undefined) return found;
  return { ...found, span: { from: before.generation, to: reading.generation } };
}

/** Makes transactions, and says how many; a first failure while others commit only ends them. */
async function commit(
  context: Context,
  nftables: Nftables,
  steps: Plan["steps"],
  from: number | undefined,
): Promise<number> {
  const { signal, staying, world } = context;
  const { cut = signal } = world;
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
    context.isExcused = false;
  } catch (error) {
    const isAlone = from === undefined || from + commits === (await nftables.generation(signal));
    if (!(error instanceof NftablesError) || isAlone || context.isExcused) throw error;
    context.isExcused = true;
  }
  return commits;
}

/** Looks after `commits` transactions that should have made `planned` of what was read. */
async function check(
  context: Context,
  nftables: Nftables,
  planned: Context["next"],
  commits: number,
  group: readonly Ruleset[],
): Promise<Inspection> {
  const { reader, signal, world } = context;
  // Each transaction moves the generation on by one; if it is further, somebody else was at work as well.
  const from = planned?.generation ?? 0;
  const to = from + commits;
  const isAlone = planned !== undefined && to === (await nftables.generation(signal));
  if (isAlone) {
    world.claim?.({ from, to });
    noteOver(context, to);
  }
  // If it is gone by now, nothing of it is left to be known.
  const isUndisturbed = isAlone && planned.isSettled;
  const state = isUndisturbed ? await ifFound(reader.settle(nftables, planned.state, signal)) : undefined;
  const newest = context.over;
  const own = state && { generation: to, state, isWritten: true };
  const asked = { before: own, thorough: false, entries: countEntries(group) };
  const reading = await reader.read(nftables, asked, signal);
  const left = weigh(context, reading, group, newest, nftables.maxBatchBytes);
  return left.steps.length === 0 ? left : { ...left, disturbed: !isUndisturbed || reading.generation !== to };
}

function countEntries(group: readonly Ruleset[]): number {
  return group.reduce((sum, { entries }) => sum + entries.length, 0);
}

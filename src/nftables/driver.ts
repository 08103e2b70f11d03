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

/** The table's content as of a generation of the ruleset: until that changes, there is nothing to read. */
interface Known {
  readonly generation: number;
  readonly state: TableState;
  /** The group that the state is in sync with. */
  readonly group: readonly Ruleset[];
  /** Whether all commits up to that generation were over when it was read. */
  readonly isSettled: boolean;
}

/** The effects that the driver needs; without a commit log, every change of the ruleset may be our own. */
export interface NftablesWorld {
  readonly open?: () => Promise<Nftables>;
  readonly now?: () => number;
  /** The known commits of other processes; and a function that records the driver's own. */
  readonly between?: (span: Span) => Promise<Attribution>;
  readonly claim?: (span: Span) => void;
  /** The process with a netlink port, for an operator. */
  readonly ownerOf?: (port: number) => string;
  /** Aborts transactions; later than `signal`, so that started changes complete during shutdown. */
  readonly cut?: AbortSignal;
}

/** The parts of a driver, and its memory. */
interface Context {
  readonly reader: TableReader;
  readonly world: NftablesWorld;
  readonly signal: AbortSignal;
  known: Known | undefined;
  /** The table's content after the plan of the last inspection. */
  next: Omit<Known, "group"> | undefined;
  /** Whether a transaction has failed while other processes committed: their removals may be the cause, but not repeatedly. */
  isExcused: boolean;
  /** All commits up to this generation are over. */
  over: number;
  /** Foreign objects that could not be removed; the next thorough inspection tries again. */
  readonly staying: Map<string, string>;
}

/** A driver for an agent with this chain name, which is in the table's comment. */
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
    // One table holds both families, so they are programmed together.
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
    counters: async () => ({ verdicts: await countTable(await connect(), signal) }),
    async remove() {
      const nftables = await connect();
      const found = await readOwnTable(nftables, signal);
      if (found === undefined || !isOwnTable(found, chain)) return [];
      const refusal = ownedBy(world, found);
      if (refusal !== undefined) throw new Refusal(refusal);
      await nftables.batch([{ op: "delete table", ...TABLE }], signal);
      return [`table inet ${TABLE.table}`];
    },
    // An unused object in our table is drift, so the first pass removes it.
    removeStaleSet: async () => {},
    close,
  };
}

/** A connection that it opens when first needed, and again after opening has failed. */
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

/** The plan for a reading of the table; if that is empty, remembers the reading. */
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
  // A commit that is under way cannot change a table that does not exist yet.
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

/** Makes transactions, and returns how many; a first failure while other processes commit only ends them. */
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

/** Inspects the table after `commits` transactions, which should have led to `planned`. */
async function check(
  context: Context,
  nftables: Nftables,
  planned: Context["next"],
  commits: number,
  group: readonly Ruleset[],
): Promise<Inspection> {
  const { reader, signal, world } = context;
  // Each transaction increases the generation by one; if it is higher, other processes committed as well.
  const from = planned?.generation ?? 0;
  const to = from + commits;
  const isAlone = planned !== undefined && to === (await nftables.generation(signal));
  if (isAlone) {
    world.claim?.({ from, to });
    noteOver(context, to);
  }
  // If the table is gone by now, there is nothing to remember.
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
  return group.reduce((sum, { entries, scope }) => sum + entries.length + (scope?.sources.length ?? 0), 0);
}

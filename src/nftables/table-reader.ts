/**
 * Reads our nftables table back, only the parts that may have changed. Everything but the elements of sets costs some
 * hundred microseconds; 100,000 elements cost a second, which not every commit of another process may cost again. We assume
 * that the elements of a long set are unchanged, unless one of these shows a change:
 * - the set was made again, or has a different number of elements (which the kernel reports since Linux 6.16);
 * - the event of a commit says that it touched the table.
 * Their absence is not proof, so a thorough inspection reads the elements anyway once other processes have committed,
 * within a bound of processor time.
 */

import type { Attribution, Span } from "../backend/commit-log.ts";
import type { Traces } from "../backend/driver.ts";
import { readSteadily } from "../backend/read-steadily.ts";
import { ifFound, isUnsupported } from "../netlink/errors.ts";
import type { ObservedSet, SetKey } from "../netlink/operations.ts";
import { chains, elements, flowtables, objects, rules, sets, table } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { isOwnTable } from "./plan.ts";
import { CHAIN, CROWDED, isSetName, NO_TABLE, RULES_READ, TABLE, type TableState } from "./sets.ts";

/** The table as of a generation of the ruleset. */
export interface Reading {
  readonly generation: number;
  readonly state: TableState;
  /** Whether it is the content that the agent itself has just written, undisturbed, instead of a reading. */
  readonly isWritten?: boolean;
}

/** The request for a reading. */
interface Asked {
  /** The table when it was last in sync. */
  readonly before: Reading | undefined;
  readonly thorough: boolean;
  /** The number of CIDRs that it should hold. */
  readonly entries: number;
}

export interface TableReader {
  readonly read: (nftables: Nftables, asked: Asked, signal: AbortSignal) => Promise<Reading>;
  /** Whether a thorough inspection has to read although the generation has not changed. */
  readonly isDue: () => boolean;
  /** A planned state with the kernel's values for its sets: handles and numbers of elements. */
  readonly settle: (nftables: Nftables, planned: TableState, signal: AbortSignal) => Promise<TableState>;
}

type FilledSet = TableState["sets"][number];

/** The largest number of readings while other processes commit. */
const READ_ATTEMPTS = 3;

/** With this many elements more than our lists can have, we replace a set instead of reading it, where the kernel reports their number. */
const FOREIGN_ELEMENTS = 100_000;

/** We read a set with fewer intervals each time: that takes some milliseconds at most. */
const SHORT = 4_096;

/** A pause of this many times its duration follows the reading of a long set: 2 % of a processor. */
const PAUSE_RATIO = 50;

/** A reader before its first reading; `between` returns the commits of other processes. */
export function createTableReader(
  now: () => number,
  between: (span: Span) => Promise<Attribution>,
): TableReader {
  /** Whether a reading has assumed unchanged elements since they were last read. */
  let assumed = false;
  let notBefore = Number.NEGATIVE_INFINITY;

  const readTimed = async (nftables: Nftables, set: ObservedSet, signal: AbortSignal) => {
    const startedAt = now();
    const read = await readElements(nftables, set, signal);
    notBefore = Math.max(notBefore, now() + (now() - startedAt) * PAUSE_RATIO);
    return read;
  };

  return {
    async read(nftables, { before, thorough, entries }, signal) {
      const isFull = thorough && now() >= notBefore;
      const most = FOREIGN_ELEMENTS + 2 * entries;
      const isTouched = async (to: number) =>
        before !== undefined &&
        (await between({ from: before.generation, to })).commits.some((one) => one.touched);
      // While other processes commit all the time, the last answers are enough: a commit after the generation makes the next
      // inspection read again.
      const { generation, value } = await readSteadily(
        nftables,
        async (to) => {
          const trusted = isFull || (await isTouched(to)) ? undefined : before;
          const fill = async (set: ObservedSet): Promise<FilledSet> => {
            const same = trusted?.state.sets.find((old) => isUnchanged(old, set));
            if (same !== undefined && trusted?.isWritten !== true) assumed = true;
            if (same !== undefined) return { set, elements: same.elements };
            // The elements of a foreign set do not matter.
            if (!isSetName(set.set) || !holdsAddresses(set)) return { set, elements: [] };
            if ((set.count ?? 0) > most)
              return { set: { ...set, flags: [...set.flags, CROWDED] }, elements: [] };
            return { set, elements: await readTimed(nftables, set, signal) };
          };
          const state = await readState(nftables, fill, signal);
          if (isFull) assumed = false;
          return state;
        },
        READ_ATTEMPTS,
        signal,
      );
      return { generation, state: value };
    },
    isDue: () => assumed && now() >= notBefore,
    async settle(nftables, planned, signal) {
      const made = await nftables.read(sets(TABLE), signal);
      return {
        ...planned,
        sets: planned.sets.map((one) => ({
          ...one,
          set: made.find(({ set }) => set === one.set.set) ?? one.set,
        })),
      };
    },
  };
}

/** The table with the elements of all its sets of addresses, also of foreign ones. */
export async function readWholeTable(nftables: Nftables, signal: AbortSignal): Promise<TableState> {
  const fill = async (set: ObservedSet): Promise<FilledSet> => ({
    set,
    elements: holdsAddresses(set) ? await readElements(nftables, set, signal) : [],
  });
  const read = () => readState(nftables, fill, signal);
  return (await readSteadily(nftables, read, READ_ATTEMPTS, signal)).value;
}

async function readState(
  nftables: Nftables,
  fill: (set: ObservedSet) => Promise<FilledSet>,
  signal: AbortSignal,
): Promise<TableState> {
  const found = await readOwnTable(nftables, signal);
  if (found === undefined) return NO_TABLE;
  const filled: FilledSet[] = [];
  for (const set of await nftables.read(sets(TABLE), signal)) filled.push(await fill(set));
  return {
    table: found,
    chains: await nftables.read(chains(TABLE), signal),
    sets: filled,
    rules: await nftables.read(rules(CHAIN, RULES_READ), signal),
    objects: await readObjects(nftables, signal),
  };
}

function holdsAddresses({ key }: ObservedSet): boolean {
  return key === "ipv4_addr" || key === "ipv6_addr";
}

function readElements(
  nftables: Nftables,
  { set, key }: ObservedSet,
  signal: AbortSignal,
): Promise<FilledSet["elements"]> {
  return nftables.read(elements({ ...TABLE, set, key: key as SetKey }), signal);
}

/** The table `inet ip-masq-agent`, whether or not it is ours. */
export function readOwnTable(nftables: Nftables, signal?: AbortSignal): Promise<TableState["table"]> {
  return ifFound(nftables.read(table(TABLE), signal));
}

/** Reads no objects where the kernel does not support them. */
async function readObjects(nftables: Nftables, signal: AbortSignal): Promise<TableState["objects"]> {
  const found = [];
  for (const query of [objects(TABLE), flowtables(TABLE)]) {
    try {
      found.push(...(await nftables.read(query, signal)));
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }
  return found;
}

/** Whether to assume that a long set still has its elements. */
function isUnchanged(
  { set: before, elements: known }: FilledSet,
  { set, handle, count }: ObservedSet,
): boolean {
  return known.length >= SHORT && before.set === set && before.handle === handle && before.count === count;
}

/** Finds our table over netlink. */
export const tableTraces: Traces = {
  async seen(nftables, chain, signal) {
    const found = await readOwnTable(nftables, signal);
    return found !== undefined && isOwnTable(found, chain) ? [`table inet ${TABLE.table}`] : [];
  },
  mayBeHidden: () => false,
};

/**
 * The share of the node's source ports in use: a sample of the table, and an exact count only for keys that may be more
 * than half full. A sample costs 2 ms however large the table is; a count of one remote 50 ms at 200,000 connections.
 */
import type { Bounds, Conntrack } from "./conntrack.ts";
import { protocolNumber } from "./flow.ts";
import { createTally, type PortOwner, type PortUse, shareOf } from "./usage.ts";

/** The source: the kernel itself, or, without ctnetlink, a list that cannot be filtered. */
export interface Table extends Pick<Conntrack, "list"> {
  readonly entries: number;
}

export interface PortShares {
  /** Of the fullest node address towards one remote, from 0 to 1. */
  readonly share: number;
  /** The same without TCP that has ended, whose ports newer kernels take over. */
  readonly openShare: number;
  readonly fullest: PortUse | undefined;
  /** The keys that are more than half full, from an exact count. */
  readonly counted: readonly PortUse[];
}

const SAMPLE = 1_600;
const REMOTES_AT_MOST = 3;
const DEADLINE_MS = 3_000;
/** Above this share we count connections one by one. */
export const COUNTED_ABOVE = 0.5;

/** Connections, extrapolated to the whole table. */
interface Estimate {
  readonly use: PortUse;
  readonly inUse: number;
  readonly open: number;
  readonly isCounted: boolean;
}

export async function measureShares(table: Table, owner: PortOwner, now: () => number): Promise<PortShares> {
  const deadline = now() + DEADLINE_MS;
  const sample = createTally(owner);
  const { read, isWhole } = await table.list({}, sample.add, { most: SAMPLE, timeoutMs: DEADLINE_MS });
  const uses = sample.fullest(SAMPLE);
  if (isWhole) return sharesOf(uses.map(counted), owner);
  const scale = Math.max(1, table.entries / Math.max(read, 1));
  const suspects = uses.filter((use) => mayBeHalfFull(use, scale, owner)).map(remoteOf);
  const asked = new Set([...new Set(suspects)].slice(0, REMOTES_AT_MOST));
  const exact: PortUse[] = [];
  for (const name of [...asked]) {
    const use = uses.find((one) => remoteOf(one) === name);
    const timeoutMs = deadline - now();
    const found = use && timeoutMs > 0 ? await countRemote(table, use, owner, { timeoutMs }) : undefined;
    if (found !== undefined) exact.push(...found);
    else asked.delete(name);
  }
  const isGuess = (use: PortUse) => suspects.length > REMOTES_AT_MOST && suspects.includes(remoteOf(use));
  const rest = uses.filter((use) => !asked.has(remoteOf(use)));
  return sharesOf([...exact.map(counted), ...rest.map((use) => estimate(use, scale, isGuess(use)))], owner);
}

function sharesOf(estimates: readonly Estimate[], owner: PortOwner): PortShares {
  const [fullest] = estimates.toSorted((a, b) => b.inUse - a.inUse);
  const open = Math.max(0, ...estimates.map((one) => one.open));
  const isFull = ({ isCounted, inUse }: Estimate) => isCounted && shareOf(inUse, owner) > COUNTED_ABOVE;
  return {
    share: shareOf(fullest?.inUse ?? 0, owner),
    openShare: shareOf(open, owner),
    fullest: fullest && { ...fullest.use, inUse: Math.round(fullest.inUse) },
    counted: estimates.filter(isFull).map(({ use }) => use),
  };
}

/** Two standard errors beyond the estimate: of k hits, the error is the root of k. */
function mayBeHalfFull({ inUse }: PortUse, scale: number, owner: PortOwner): boolean {
  return (inUse + 2 * Math.sqrt(inUse)) * scale > COUNTED_ABOVE * owner.ports;
}

function counted(use: PortUse): Estimate {
  return { use, inUse: use.inUse, open: use.inUse - use.ended, isCounted: true };
}

/**
 * For one of many suspects without a count we report only a value that is nearly certain: the largest of many guesses
 * is a bad guess.
 */
function estimate(use: PortUse, scale: number, isCautious: boolean): Estimate {
  const guess = (hits: number) => Math.max(0, isCautious ? hits - 2 * Math.sqrt(hits) : hits) * scale;
  return { use, inUse: guess(use.inUse), open: guess(use.inUse - use.ended), isCounted: false };
}

/** Undefined if there was no time to count to the end. */
async function countRemote(
  table: Table,
  { remote, port, protocol }: PortUse,
  owner: PortOwner,
  bounds: Bounds,
): Promise<readonly PortUse[] | undefined> {
  const tally = createTally(owner);
  const reply = { source: remote, protocol: protocolNumber(protocol), sourcePort: port };
  const { isWhole } = await table.list({ reply }, tally.add, bounds);
  return isWhole ? tally.fullest(SAMPLE) : undefined;
}

function remoteOf({ protocol, remote, port }: PortUse): string {
  return `${protocol} ${port} ${remote}`;
}

/** One source of the counted ports, for a series. */
export interface PortHolder {
  readonly use: PortUse;
  readonly source: PortUse["by"][number];
}

/** The largest sources of all keys that are more than half full. */
export function largestHolders({ counted }: PortShares, most: number): readonly PortHolder[] {
  return counted
    .flatMap((use) => use.by.map((source) => ({ use, source })))
    .sort((a, b) => b.source.inUse - a.source.inUse)
    .slice(0, most);
}

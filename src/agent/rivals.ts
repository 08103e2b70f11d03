/**
 * Rules of the other backend that come back after their removal, as a forgotten or a surging agent writes them: they would be
 * active next to ours. Each pass looks for them by name over netlink; in legacy tables only a tool can find them, once a resync
 * interval.
 */

import { type Attribution, type CommitLog, renderCulprits } from "../backend/commit-log.ts";
import { type Driver, isFailure, type Traces } from "../backend/driver.ts";
import type { Drift } from "../core/drift.ts";
import type { Logger } from "../log/log.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { Chosen } from "./choose.ts";
import type { Healing } from "./group.ts";

/** The rules of the other backend, as of a generation; `mayBe`: only a tool can tell. */
export interface Rivals {
  readonly places: readonly string[];
  readonly mayBe: boolean;
  readonly generation: number | undefined;
}

export interface RivalsWorld {
  readonly chain: string;
  readonly open: () => Promise<Nftables>;
  /** The drivers whose rules an agent with this choice does not have. */
  readonly others: (choice: Chosen) => Promise<readonly Driver[]>;
  /** How to find such rules. */
  readonly traces: (choice: Chosen) => readonly Traces[];
  readonly commitLog: CommitLog;
  readonly now: () => number;
  readonly log: Logger;
}

export interface RivalWatch extends Pick<Driver, "knows" | "heard"> {
  readonly search: (choice: Chosen, resyncIntervalMs: number) => Promise<Rivals>;
  /** Removes them, and returns the healings. Throws a failure. */
  readonly remove: (choice: Chosen, rivals: Rivals) => Promise<readonly Healing[]>;
  /** The error that remains after their removal: they come back again and again. */
  readonly complaint: () => string | undefined;
}

/** This many times within a minute are a fight; after the first lines, the log has one line a minute about it. */
const FIGHT = 2;
const SAID_AT_MOST = 5;
const MINUTE_MS = 60_000;

/** A watch before its first look. */
export function createRivalWatch(world: RivalsWorld, signal: AbortSignal): RivalWatch {
  const { traces, commitLog, now, log } = world;
  const find = createFinder(world, signal);
  const fight = createFight(now, log);
  let over = -1;
  let seenUpTo = -1;
  /** The last generation in which there were none. */
  let cleanAt: number | undefined;
  let toolsAt = now();
  /** The rules that exist, but are not ours to remove. */
  let spared = "";
  return {
    knows: (generation) => seenUpTo >= generation || commitLog.isOwn(generation),
    heard(generation) {
      over = Math.max(over, generation);
    },
    async search(choice, resyncIntervalMs) {
      const newest = over;
      const { places, generation } = await find(choice);
      seenUpTo = Math.max(seenUpTo, newest);
      const isSpared = places.join() === spared;
      if (places.length === 0) {
        cleanAt = generation ?? cleanAt;
        spared = "";
      }
      const isHidden = traces(choice).some(({ mayBeHidden }) => mayBeHidden());
      const mayBe = (isHidden || (isSpared && spared !== "")) && now() - toolsAt >= resyncIntervalMs;
      return { places: isSpared ? [] : places, mayBe, generation };
    },
    async remove(choice, { places, generation }) {
      toolsAt = now();
      const attribution =
        places.length > 0 && cleanAt !== undefined && generation !== undefined
          ? await commitLog.between({ from: cleanAt, to: generation }, signal)
          : undefined;
      const removed = await removeAll(await world.others(choice));
      spared = removed.length === 0 ? places.join() : "";
      if (removed.length === 0) return [];
      const touching = attribution?.commits.filter(({ touched }) => touched) ?? [];
      const told = attribution && (touching.length > 0 ? { ...attribution, commits: touching } : attribution);
      fight.note(removed, told);
      const drift = removed.map((where): Drift => ({ kind: "extra", where }));
      return [{ drift, ...(told && { attribution: told }) }];
    },
    complaint: fight.complaint,
  };
}

/** Searches over netlink, by a connection that it opens when first needed, and again after a failure. */
function createFinder({ chain, open, traces }: RivalsWorld, signal: AbortSignal) {
  let connection: Promise<Nftables> | undefined;
  return async (choice: Chosen): Promise<Pick<Rivals, "places" | "generation">> => {
    try {
      connection ??= open();
      const nftables = await connection;
      const generation = await nftables.generation(signal);
      const places: string[] = [];
      for (const { seen } of traces(choice)) places.push(...(await seen(nftables, chain, signal)));
      return { places, generation };
    } catch (error) {
      if (!isFailure(error)) throw error;
      connection?.then((nftables) => nftables.close()).catch(() => {});
      connection = undefined;
      return { places: [], generation: undefined };
    }
  };
}

async function removeAll(drivers: readonly Driver[]): Promise<string[]> {
  const removed: string[] = [];
  for (const driver of drivers) {
    try {
      removed.push(...(await driver.remove()));
    } finally {
      driver.close();
    }
  }
  return removed;
}

/** Logs the rules that came back, and remembers how often. */
function createFight(now: () => number, log: Logger) {
  let line = "";
  let saidAt = Number.NEGATIVE_INFINITY;
  let times: readonly number[] = [];
  const recently = () => times.filter((at) => now() - at < MINUTE_MS);
  return {
    note(removed: readonly string[], told: Attribution | undefined) {
      const by = (told && renderCulprits(told)) ?? "an unknown process";
      line = `rules of another backend came back and were active next to ours: ${removed.join(", ")}, made by ${by}`;
      const { process, pid } = told?.commits.at(-1) ?? {};
      times = [...recently(), now()];
      if (times.length <= SAID_AT_MOST || now() - saidAt >= MINUTE_MS) {
        saidAt = now();
        log.with({ kind: "extra", process, pid }).warning(`${line}; removed. Is another agent running?`);
      }
    },
    complaint: () => (recently().length >= FIGHT ? line : undefined),
  };
}

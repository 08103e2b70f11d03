/**
 * `auto` while the agent runs: kube-proxy's first table, or the kubelet's first chain, may appear after the agent has chosen, and
 * kube-proxy's mode may change. A move is a pass like any other: the current backend has its turn, then the new one programs
 * its rules, and takes over only when they are in force, so that the old ones can be removed.
 */

import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import type { Chosen, Decision } from "./choose.ts";
import type { PassOutcome } from "./reconcile.ts";

/** A chosen backend at work. */
export interface Engine {
  readonly choice: Chosen;
  readonly driver: Driver;
  readonly reconcile: () => Promise<PassOutcome>;
}

/** Work that can wait until the rules are in force. */
export type Task = () => Promise<void>;

interface FollowWorld {
  /** A text that changes with the signs; undefined where it cannot read them. */
  readonly readSigns: () => Promise<string | undefined>;
  /** The decision for these signs; undefined while its tools still run: a pass follows when they have ended. */
  readonly choose: (seen: string | undefined) => Promise<Decision | undefined>;
  readonly build: (choice: Chosen) => Engine;
  readonly tasks: (engine: Engine) => Task[];
  /** Called when a new backend's rules are in force. */
  readonly moved: () => void;
  /** Whether no work for the current engine is under way. */
  readonly isFree: () => boolean;
  readonly now: () => number;
  readonly log: Logger;
  /** Whether there may be a pass sooner than at the next resync. */
  readonly watch: boolean;
}

export interface Followed {
  /** The current engine. */
  readonly engine: () => Engine;
  readonly reconcile: () => Promise<PassOutcome>;
  /** Its remaining tasks, in order. */
  readonly tasks: () => Task[];
  /** Whether a look has covered everything that it depends on as of this generation. */
  readonly knows: Driver["knows"];
  /** Whether this agent is writing another backend's rules. */
  readonly isMoving: () => boolean;
  readonly heard: Driver["heard"];
}

/**
 * Changed signs must last this long before we act. A restart of kube-proxy takes a second or two, and a new mode removes the old
 * one's rules before it makes its own; waiting costs nothing, since both backends treat each packet alike.
 */
export const SETTLE_MS = 3_000;

/** Follows the choice that was made from `signs`. */
export function followChoice(first: Engine, signs: string | undefined, world: FollowWorld): Followed {
  const { log, now } = world;
  let engine = first;
  let tasks = world.tasks(engine);
  let decidedBy = signs;
  /** All commits up to the first generation are over; a look has covered those up to the second. */
  let over = -1;
  let seenUpTo = signs === undefined ? Number.POSITIVE_INFINITY : -1;
  let fresh: { readonly seen: string; dueAt: number } | undefined;
  /** The engine that takes over once its rules are in force, and the pause after a failure. */
  let candidate: Engine | undefined;
  let pauseMs = SETTLE_MS;
  let isMoving = false;

  const within = (outcome: PassOutcome, ms: number): PassOutcome =>
    world.watch ? { ...outcome, dueInMs: Math.min(outcome.dueInMs, ms) } : outcome;

  const settle = (seen: string | undefined) => {
    if (seen !== undefined) decidedBy = seen;
    fresh = undefined;
    pauseMs = SETTLE_MS;
    candidate?.driver.close();
    candidate = undefined;
  };

  /** Milliseconds until it is time to choose again; undefined if the signs have not changed. */
  const dueInMs = async (): Promise<number | undefined> => {
    const newest = over;
    const seen = await world.readSigns();
    seenUpTo = Math.max(seenUpTo, newest);
    if (seen === undefined) return undefined;
    if (seen === decidedBy) settle(seen);
    else if (seen !== fresh?.seen) fresh = { seen, dueAt: now() + SETTLE_MS };
    return fresh && Math.max(0, fresh.dueAt - now());
  };

  const move = async (choice: Chosen, outcome: PassOutcome): Promise<PassOutcome> => {
    if (candidate === undefined || !isSame(candidate.choice, choice)) {
      candidate?.driver.close();
      candidate = world.build(choice);
      candidate.driver.heard(over);
    }
    const after = await candidate.reconcile();
    isMoving = isUnderWay(after);
    // A pass follows when its tools have ended.
    if (isMoving) return outcome;
    if (!isInForce(after)) {
      // If the choice changes meanwhile, these tasks remove the rules that it has programmed.
      tasks = world.tasks(engine);
      if (fresh !== undefined) fresh.dueAt = now() + pauseMs;
      const again = within(outcome, pauseMs);
      pauseMs = Math.min(pauseMs * 2, outcome.resyncIntervalMs);
      const why = after.errors.length === 0 ? ["other processes revert its changes"] : after.errors;
      const errors = why.map((error) => `moving to ${describe(choice)}: ${error}`);
      return {
        ...again,
        errors: [...outcome.errors, ...errors],
        failures: [...outcome.failures, ...after.failures],
      };
    }
    const before = engine;
    engine = candidate;
    candidate = undefined;
    tasks = world.tasks(engine);
    settle(fresh?.seen);
    before.driver.close();
    log
      .with({ backend: choice.name })
      .info(`backend: ${describe(choice)} instead of ${describe(before.choice)}`);
    world.moved();
    const config = { ...after.config, isNew: outcome.config.isNew };
    return { ...after, config, healed: [...outcome.healed, ...after.healed] };
  };

  return {
    engine: () => engine,
    tasks: () => tasks,
    isMoving: () => isMoving,
    knows: (generation) => seenUpTo >= generation && engine.driver.knows(generation),
    heard(generation) {
      over = Math.max(over, generation);
      for (const one of [engine, candidate]) one?.driver.heard(generation);
    },
    async reconcile() {
      const outcome = await engine.reconcile();
      const wait = await dueInMs();
      if (wait === undefined) return outcome;
      if (wait > 0) return within(outcome, wait);
      // The new engine's rules would not be those of the last good configuration.
      if (outcome.config.problems.length > 0) return outcome;
      // A write that is still under way must not come after the removal of its rules.
      if (isUnderWay(outcome) || !world.isFree()) return within(outcome, SETTLE_MS);
      const choice = await world.choose(fresh?.seen);
      if (choice === undefined) return outcome;
      if (choice.ok && !isSame(choice, engine.choice)) return move(choice, outcome);
      if (choice.ok) engine = { ...engine, choice };
      else log.warning(`the backend stays ${engine.choice.name}: ${choice.lacks.join("; ")}`);
      settle(fresh?.seen);
      return outcome;
    },
  };
}

function isInForce({ errors, groups }: PassOutcome): boolean {
  return errors.length === 0 && groups.every(({ inForce }) => inForce);
}

function isUnderWay({ groups }: PassOutcome): boolean {
  return groups.some((group) => group.isUnderWay);
}

function isSame(a: Chosen, b: Chosen): boolean {
  return a.name === b.name && a.variant === b.variant;
}

function describe({ name, why, variant }: Chosen): string {
  const which = variant === "path" ? "" : `-${variant}`;
  return `${name}${which} (${why})`;
}

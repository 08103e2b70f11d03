/**
 * `auto` while the agent runs: kube-proxy's first table, or the kubelet's first chain, may appear after the agent has chosen, and
 * kube-proxy's mode may change. A move is a pass like any other: the current backend has its turn, then the new one programs
 * its rules, and takes over only when they are in force, so that the old ones can be removed.
 */

import type { Driver } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import { type ChangedSigns, type ChangedSignsWorld, createChangedSigns, SETTLE_MS } from "./changed-signs.ts";
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

interface FollowWorld extends ChangedSignsWorld {
  /** The decision for these signs; undefined while its tools still run: a pass follows when they have ended. */
  readonly choose: (seen: string | undefined) => Promise<Decision | undefined>;
  readonly build: (choice: Chosen) => Engine;
  readonly tasks: (engine: Engine) => Task[];
  /** Called when a new backend's rules are in force. */
  readonly moved: () => void;
  /** Whether no work for the current engine is under way. */
  readonly isFree: () => boolean;
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

/** Follows the choice that was made from `first`, the signs at that time. */
export function followChoice(engine: Engine, first: string | undefined, world: FollowWorld): Followed {
  const { log, watch } = world;
  const signs = createChangedSigns(first, world);
  const mover = createMover(engine, world, signs);

  const within = (outcome: PassOutcome, ms: number): PassOutcome =>
    watch ? { ...outcome, dueInMs: Math.min(outcome.dueInMs, ms) } : outcome;

  return {
    engine: mover.engine,
    tasks: mover.tasks,
    isMoving: mover.isMoving,
    knows: (generation) => signs.covers(generation) && mover.engine().driver.knows(generation),
    heard(generation) {
      signs.heard(generation);
      mover.heard(generation);
    },
    async reconcile() {
      const outcome = await mover.engine().reconcile();
      const wait = await signs.look();
      if (wait === "unchanged") mover.stay();
      if (wait === "unchanged" || wait === undefined) return outcome;
      if (wait > 0) return within(outcome, wait);
      // The new engine's rules would not be those of the last good configuration.
      if (outcome.config.problems.length > 0) return outcome;
      // A write that is still under way must not come after the removal of its rules.
      if (isUnderWay(outcome) || !world.isFree()) return within(outcome, SETTLE_MS);
      const choice = await world.choose(signs.changed());
      if (choice === undefined) return outcome;
      if (choice.ok && !isSame(choice, mover.engine().choice)) {
        const { outcome: after, againInMs } = await mover.move(choice, outcome);
        return againInMs === undefined ? after : within(after, againInMs);
      }
      if (choice.ok) mover.rename(choice);
      else log.warning(`the backend stays ${mover.engine().choice.name}: ${choice.lacks.join("; ")}`);
      mover.stay();
      return outcome;
    },
  };
}

interface Mover extends Pick<Followed, "engine" | "tasks" | "isMoving" | "heard"> {
  /** Lets a new backend program its rules, which takes over when they are in force; otherwise it is to be tried again. */
  readonly move: (
    choice: Chosen,
    outcome: PassOutcome,
  ) => Promise<{ readonly outcome: PassOutcome; readonly againInMs?: number }>;
  /** The engine stays, for the signs that there are. */
  readonly stay: () => void;
  /** The same backend was chosen for another reason. */
  readonly rename: (choice: Chosen) => void;
}

/** Moves from one engine to another. */
function createMover(first: Engine, world: FollowWorld, signs: ChangedSigns): Mover {
  const trial = createTrial(world, signs);
  let engine = first;
  let tasks = world.tasks(engine);
  /** The pause after a failure. */
  let pauseMs = SETTLE_MS;
  let isMoving = false;

  const stay = () => {
    signs.decided();
    pauseMs = SETTLE_MS;
    trial.end();
  };

  const failed = (choice: Chosen, outcome: PassOutcome, after: PassOutcome) => {
    // If the choice changes meanwhile, these tasks remove the rules that it has programmed.
    tasks = world.tasks(engine);
    signs.postpone(pauseMs);
    const againInMs = pauseMs;
    pauseMs = Math.min(pauseMs * 2, outcome.resyncIntervalMs);
    return { outcome: withFailure(outcome, choice, after), againInMs };
  };

  const takeOver = (outcome: PassOutcome, after: PassOutcome) => {
    const before = engine;
    engine = trial.take();
    tasks = world.tasks(engine);
    stay();
    before.driver.close();
    const line = `backend: ${describe(engine.choice)} instead of ${describe(before.choice)}`;
    world.log.with({ backend: engine.choice.name }).info(line);
    world.moved();
    return { outcome: afterMove(outcome, after) };
  };

  return {
    engine: () => engine,
    tasks: () => tasks,
    isMoving: () => isMoving,
    stay,
    rename(choice) {
      engine = { ...engine, choice };
    },
    heard(generation) {
      engine.driver.heard(generation);
      trial.heard(generation);
    },
    async move(choice, outcome) {
      const after = await trial.reconcile(choice);
      isMoving = isUnderWay(after);
      // A pass follows when its tools have ended.
      if (isMoving || !trial.isOn()) return { outcome };
      return isInForce(after) ? takeOver(outcome, after) : failed(choice, outcome, after);
    },
  };
}

/** An engine that programs its rules beside those of the current one, and takes over once they are in force. */
interface Trial extends Pick<Followed, "heard"> {
  readonly isOn: () => boolean;
  /** A pass of the engine for this choice. */
  readonly reconcile: (choice: Chosen) => Promise<PassOutcome>;
  /** Ends the trial: the engine is the caller's. */
  readonly take: () => Engine;
  readonly end: () => void;
}

function createTrial({ build }: Pick<FollowWorld, "build">, signs: Pick<ChangedSigns, "over">): Trial {
  let engine: Engine | undefined;
  const end = () => {
    engine?.driver.close();
    engine = undefined;
  };
  return {
    isOn: () => engine !== undefined,
    reconcile(choice) {
      if (engine !== undefined && isSame(engine.choice, choice)) return engine.reconcile();
      end();
      engine = build(choice);
      engine.driver.heard(signs.over());
      return engine.reconcile();
    },
    take() {
      const taken = engine as Engine;
      engine = undefined;
      return taken;
    },
    end,
    heard: (generation) => engine?.driver.heard(generation),
  };
}

/** The outcome of the current engine, whose rules stay in force, with the reasons why `choice` does not take over. */
function withFailure(outcome: PassOutcome, choice: Chosen, after: PassOutcome): PassOutcome {
  const why = after.errors.length === 0 ? ["other processes revert its changes"] : after.errors;
  const errors = [...outcome.errors, ...why.map((error) => `moving to ${describe(choice)}: ${error}`)];
  return { ...outcome, errors, failures: [...outcome.failures, ...after.failures] };
}

/** The outcome of the engine that has taken over, as that of one pass with the one before. */
function afterMove({ config: { isNew }, healed }: PassOutcome, after: PassOutcome): PassOutcome {
  return { ...after, config: { ...after.config, isNew }, healed: [...healed, ...after.healed] };
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

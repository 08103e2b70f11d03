/** Runs after a pass that left the rules in force: deferred tasks, and the removal of another backend's rules. */

import { isFailure } from "../backend/driver.ts";
import type { Logger } from "../log/log.ts";
import type { Hold } from "../presence/hold.ts";
import type { Clock } from "../system/clock.ts";
import { MAX_RETRY_MS } from "./backoff.ts";
import type { Followed, Task } from "./follow.ts";
import type { Healing } from "./group.ts";
import type { PassOutcome } from "./reconcile.ts";
import type { Rivals, RivalWatch } from "./rivals.ts";
import type { Turns } from "./turns.ts";

interface AfterwardsWorld extends Pick<Clock, "now"> {
  readonly hold: Hold;
  readonly rivals: RivalWatch;
  readonly clearing: Turns<readonly Healing[] | undefined>;
  /** Called after each pass. */
  readonly relieve: () => void;
  readonly log: Logger;
}

/** The name of this work among the turns. */
export const CLEARING = "clearing away";

/**
 * Runs a pass, and after one without an error each task once, in order, each after the success of the one before. A failed task
 * runs again a resync interval later, or within seconds if its rules are active next to ours. A slow one continues during the
 * next passes. While another agent runs, rules that this one did not make may belong to it, and stay: that is an error of the pass.
 */
export function afterwards(
  { reconcile, tasks, engine, isMoving }: Pick<Followed, "reconcile" | "tasks" | "engine" | "isMoving">,
  { hold, rivals, clearing, relieve, log, now }: AfterwardsWorld,
): () => Promise<PassOutcome> {
  let notBefore = Number.NEGATIVE_INFINITY;
  let said: string | undefined;

  const clear = async (left: Task[], found: Rivals, resyncIntervalMs: number) => {
    try {
      const isFirst = left.length > 0;
      for (; left[0] !== undefined; left.shift()) await left[0]();
      return isFirst ? [] : await rivals.remove(engine().choice, found);
    } catch (error) {
      if (!isFailure(error)) throw error;
      const pauseMs = found.places.length > 0 ? MAX_RETRY_MS : resyncIntervalMs;
      notBefore = now() + Math.min(resyncIntervalMs, pauseMs);
      if (error.message !== said)
        log.warning(`cannot remove the rules of earlier agents, retrying: ${error.message}`);
      said = error.message;
      return undefined;
    }
  };

  /** The rules that were removed, and the errors that remain. */
  const tend = async (resyncIntervalMs: number) => {
    const left = tasks();
    const found = await rivals.search(engine().choice, resyncIntervalMs);
    const beside = found.places.length > 0 ? [describe(found)] : [];
    if (left.length === 0 && beside.length === 0 && !found.mayBe) return { healed: [], errors: complaints() };
    if (!(await hold.isAlone())) return { healed: [], errors: beside };
    if (now() < notBefore) return { healed: [], errors: beside };
    const healed = await clearing.take(CLEARING, async () => clear(left, found, resyncIntervalMs));
    if (healed !== undefined) return { healed, errors: complaints() };
    return { healed: [], errors: beside.length > 0 ? beside : complaints() };
  };

  const complaints = () => [rivals.complaint() ?? []].flat();

  return async () => {
    const late = clearing.collect().flatMap((one) => one ?? []);
    const outcome = await reconcile();
    relieve();
    const isInForce = outcome.errors.length === 0 && outcome.groups.every((group) => group.inForce);
    if (!isInForce || isMoving()) return { ...outcome, healed: [...outcome.healed, ...late] };
    const { healed, errors } = await tend(outcome.resyncIntervalMs);
    return {
      ...outcome,
      healed: [...outcome.healed, ...late, ...healed],
      errors,
      dueInMs: errors.length === 0 ? outcome.dueInMs : Math.min(outcome.dueInMs, MAX_RETRY_MS),
    };
  };
}

function describe({ places }: Rivals): string {
  return `rules of another backend are active next to ours: ${places.join(", ")}`;
}

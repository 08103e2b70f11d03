/** What follows a pass after which the rules are in force: what can wait until then, and what the other backend has. */

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
  /** Called when a pass is over. */
  readonly relieve: () => void;
  readonly log: Logger;
}

/** The name of the turn. */
export const CLEARING = "clearing away";

/**
 * A pass, and after one without an error each task once, the next when the one before has succeeded. What fails is tried again a
 * resync interval later, or in some seconds if it decides beside ours. What takes long goes on beside the next passes. As long as another agent
 * lives, what was not made by this one may be its own, and stays: that is said, and all is not well.
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
        log.warning(`cannot clear away what earlier agents have left, trying again: ${error.message}`);
      said = error.message;
      return undefined;
    }
  };

  /** What was removed, and why all is not well. */
  const tend = async (resyncIntervalMs: number) => {
    const left = tasks();
    const found = await rivals.look(engine().choice, resyncIntervalMs);
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
  return `rules of another backend decide beside ours: ${places.join(", ")}`;
}

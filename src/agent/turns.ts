/**
 * One after the other, but nobody waits long for another: work that takes longer goes on by itself, and what it came to is
 * collected later. So tools that hang cost only their own family, while the usual order stays as it is.
 */
import type { Clock } from "../system/clock.ts";

export interface TurnsWorld extends Pick<Clock, "sleep"> {
  /** Told of work that goes on by itself; what is given ends with it, and never rejects. */
  readonly goesOn: (end: Promise<void>) => void;
}

export interface Turns<T> {
  /** Begins work under a name and waits for it; undefined if it is still under way by then, or was before: then none is begun. */
  readonly take: (name: string, begin: () => Promise<T>) => Promise<T | undefined>;
  readonly isUnderWay: (name: string) => boolean;
  /** What has ended since that was not waited for. Throws what it threw. */
  readonly collect: () => T[];
}

export interface Aside extends Pick<TurnsWorld, "goesOn"> {
  /** Waits until all of it has ended. */
  readonly over: () => Promise<void>;
}

/** Where work goes on by itself; `ended` is called at the end of each. */
export function createAside(ended: () => void): Aside {
  const all = new Set<Promise<void>>();
  return {
    goesOn(end) {
      all.add(end);
      void end.then(() => {
        all.delete(end);
        ended();
      });
    },
    async over() {
      await Promise.all(all);
    },
  };
}

/** How long others wait at most. Little of the second in which they have to be healed, and more than tools usually take. */
export const PATIENCE_MS = 300;

/** Turns in which nobody has begun; without a world, whatever takes long is waited for. */
export function createTurns<T>(world: TurnsWorld | undefined): Turns<T> {
  const underWay = new Set<string>();
  let ended: (() => T)[] = [];
  return {
    async take(name, begin) {
      if (underWay.has(name)) return undefined;
      const work = begin();
      if (world === undefined || (await isDoneSoon(work, world))) return work;
      underWay.add(name);
      const end = (result: () => T) => {
        underWay.delete(name);
        ended.push(result);
      };
      const fail = (error: unknown) =>
        end(() => {
          throw error;
        });
      world.goesOn(work.then((value) => end(() => value), fail));
      return undefined;
    },
    isUnderWay: (name) => underWay.has(name),
    collect() {
      const all = ended;
      ended = [];
      return all.map((result) => result());
    },
  };
}

async function isDoneSoon(work: Promise<unknown>, { sleep }: TurnsWorld): Promise<boolean> {
  const waiting = new AbortController();
  let isDone = false;
  const done = () => {
    isDone = true;
    waiting.abort();
  };
  work.then(done, done);
  await sleep(PATIENCE_MS, waiting.signal);
  return isDone;
}

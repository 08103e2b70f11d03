/**
 * Work runs one after the other, but none waits long for another: longer work continues by itself, and `collect` returns its
 * result later. So tools that hang delay only their own family, while the usual order stays.
 */
import type { Clock } from "../system/clock.ts";

export interface TurnsWorld extends Pick<Clock, "sleep"> {
  /** Called with work that continues by itself: a promise that resolves at its end, and never rejects. */
  readonly goesOn: (end: Promise<void>) => void;
}

export interface Turns<T> {
  /** Begins work under a name and waits for it; undefined if it is still under way by then, or was before: then none is begun. */
  readonly take: (name: string, begin: () => Promise<T>) => Promise<T | undefined>;
  readonly isUnderWay: (name: string) => boolean;
  /** The results of continued work that has ended since. Throws its errors. */
  readonly collect: () => T[];
}

export interface Aside extends Pick<TurnsWorld, "goesOn"> {
  /** Waits for the end of all of it. */
  readonly over: () => Promise<void>;
}

/** Keeps track of work that continues by itself; calls `ended` at the end of each. */
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

/** The longest wait of others. It is a small part of the second within which drift has to be healed, and more than tools usually take. */
export const PATIENCE_MS = 300;

/** Turns without work; without a world, they wait for slow work. */
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

/** Whether the signs by which a backend was chosen have changed, and for how long: it is time to choose again when they have settled. */

/**
 * Changed signs must last this long before we act. A restart of kube-proxy takes a second or two, and a new mode removes the old
 * one's rules before it makes its own; waiting costs nothing, since both backends treat each packet alike.
 */
export const SETTLE_MS = 3_000;

export interface ChangedSignsWorld {
  /** A text that changes with the signs; undefined where it cannot read them. */
  readonly readSigns: () => Promise<string | undefined>;
  readonly now: () => number;
}

export interface ChangedSigns {
  /** Looks: milliseconds until it is time to choose again, or that nothing has changed since the last choice; undefined: unreadable. */
  readonly look: () => Promise<number | "unchanged" | undefined>;
  /** The changed signs; undefined: they have not changed. */
  readonly changed: () => string | undefined;
  /** The choice for the changed signs is made. */
  readonly decided: () => void;
  /** It is time to choose again so much later. */
  readonly postpone: (ms: number) => void;
  /** All commits up to this generation are over. */
  readonly heard: (generation: number) => void;
  /** The generation that was heard last. */
  readonly over: () => number;
  /** Whether a look has covered the commits up to this generation. */
  readonly covers: (generation: number) => boolean;
}

/** Begins with the signs of the first choice. */
export function createChangedSigns(
  first: string | undefined,
  { readSigns, now }: ChangedSignsWorld,
): ChangedSigns {
  let decidedBy = first;
  let over = -1;
  let seenUpTo = first === undefined ? Number.POSITIVE_INFINITY : -1;
  let fresh: { readonly seen: string; readonly dueAt: number } | undefined;
  return {
    async look() {
      const newest = over;
      const seen = await readSigns();
      seenUpTo = Math.max(seenUpTo, newest);
      if (seen === undefined) return undefined;
      if (seen === decidedBy) {
        fresh = undefined;
        return "unchanged";
      }
      if (seen !== fresh?.seen) fresh = { seen, dueAt: now() + SETTLE_MS };
      return Math.max(0, fresh.dueAt - now());
    },
    changed: () => fresh?.seen,
    decided() {
      if (fresh !== undefined) decidedBy = fresh.seen;
      fresh = undefined;
    },
    postpone(ms) {
      if (fresh !== undefined) fresh = { seen: fresh.seen, dueAt: now() + ms };
    },
    heard(generation) {
      over = Math.max(over, generation);
    },
    over: () => over,
    covers: (generation) => seenUpTo >= generation,
  };
}

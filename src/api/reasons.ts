/** Which failures are worth a line in the log: those with a reason that was not said before. */

export interface Reasons {
  /** Whether to say this reason of the `count`th failure in a row; it counts as said then. */
  readonly isNews: (why: string, count: number) => boolean;
  /** The failures are over. */
  readonly clear: () => void;
}

/** A single failure passes without a line. */
const SAID_AFTER = 2;
/** Reasons may differ each time, as by the number of a request: they must fill neither the log nor the memory. */
const SAID_AT_MOST = 20;

export function createReasons(): Reasons {
  const said = new Set<string>();
  return {
    isNews(why, count) {
      if (count < SAID_AFTER || said.has(why) || said.size >= SAID_AT_MOST) return false;
      said.add(why);
      return true;
    },
    clear: () => said.clear(),
  };
}

/**
 * Counters of the kernel that start from zero whenever rules are written anew, as series that never go back. Pure.
 */
import type { VerdictTotals } from "../observe/metrics.ts";

/** What a family's rules count at one moment. */
export type VerdictCount = VerdictTotals;

export interface VerdictCounters {
  /** Takes a reading; call it before rules are written, so that what they counted is not lost. */
  readonly read: (counts: readonly VerdictCount[]) => void;
  readonly totals: () => readonly VerdictTotals[];
}

interface Known {
  readonly last: VerdictCount;
  readonly total: VerdictTotals;
}

/** Counters that start where the kernel's are: at zero. */
export function createVerdictCounters(): VerdictCounters {
  const known = new Map<string, Known>();
  return {
    read(counts) {
      for (const last of counts) {
        const key = `${last.family} ${last.verdict}`;
        const before = known.get(key);
        const total = { ...last };
        if (before !== undefined) {
          // Fewer packets than before: the rules were written anew, and have counted these since.
          const isAnew = last.packets < before.last.packets || last.bytes < before.last.bytes;
          total.packets = before.total.packets + last.packets - (isAnew ? 0 : before.last.packets);
          total.bytes = before.total.bytes + last.bytes - (isAnew ? 0 : before.last.bytes);
        }
        known.set(key, { last, total });
      }
    },
    totals: () => [...known.values()].map(({ total }) => total),
  };
}

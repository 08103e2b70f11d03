/**
 * Turns the kernel's counters, which start from zero whenever rules are written again, into series that never decrease. Pure.
 */

import type { Family } from "../core/cidr.ts";
import type { ObservedRule } from "../netlink/operations.ts";

export interface VerdictCounters {
  /** Takes a reading; call it before writing rules, so that their counts are not lost. */
  readonly read: (counts: readonly VerdictCount[]) => void;
  readonly totals: () => readonly VerdictCount[];
}

interface Known {
  readonly last: VerdictCount;
  readonly total: VerdictCount;
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
          // Fewer packets than before: the rules were written again, and have counted these since.
          const isRestarted = last.packets < before.last.packets || last.bytes < before.last.bytes;
          total.packets = before.total.packets + last.packets - (isRestarted ? 0 : before.last.packets);
          total.bytes = before.total.bytes + last.bytes - (isRestarted ? 0 : before.last.bytes);
        }
        known.set(key, { last, total });
      }
    },
    totals: () => [...known.values()].map(({ total }) => total),
  };
}

/** The destination keeps the pod's address; the packet is masqueraded; or it is not ours, whatever its destination. */
export type VerdictName = "keep" | "masquerade" | "other";

/** The kernel's counters of packets, in total since the agent's start. */
export interface VerdictCount {
  readonly family: string;
  readonly verdict: VerdictName;
  readonly packets: number;
  readonly bytes: number;
}

/** All packets that were counted; undefined without a counter. */
export function sumPackets(counts: readonly VerdictCount[]): number | undefined {
  return counts.length === 0 ? undefined : counts.reduce((sum, { packets }) => sum + packets, 0);
}

/** What a rule has counted, by itself for the verdict that it gives; undefined without a counter. */
export function countOf(
  rule: ObservedRule,
  family: Family,
  verdict: VerdictName = verdictOf(rule),
): VerdictCount | undefined {
  const counter = rule.statements.find((one) => one.kind === "counter");
  if (counter === undefined) return undefined;
  return { family, verdict, packets: Number(counter.packets ?? 0), bytes: Number(counter.bytes ?? 0) };
}

/** The sums by family and verdict; skips undefined ones. */
export function sumVerdicts(counts: readonly (VerdictCount | undefined)[]): VerdictCount[] {
  const totals = new Map<string, VerdictCount>();
  for (const one of counts.filter((count) => count !== undefined)) {
    const key = `${one.family} ${one.verdict}`;
    const { packets, bytes } = totals.get(key) ?? { packets: 0, bytes: 0 };
    totals.set(key, { ...one, packets: packets + one.packets, bytes: bytes + one.bytes });
  }
  return [...totals.values()];
}

function verdictOf({ statements }: ObservedRule): VerdictName {
  return statements.some((one) => one.kind === "verdict" && one.verdict === "return") ? "keep" : "masquerade";
}

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

/** A rule, and the verdict of the packets that it counts: by itself, whether it returns. */
export interface CountingRule {
  readonly rule: ObservedRule;
  readonly family: Family;
  readonly verdict?: VerdictName;
}

/** The sums of the rules' counters by family and verdict; skips undefined ones. */
export function sumVerdicts(counted: readonly (CountingRule | undefined)[]): VerdictCount[] {
  const totals = new Map<string, VerdictCount>();
  for (const { rule, family, verdict = verdictOf(rule) } of counted.filter((one) => one !== undefined)) {
    const counter = rule.statements.find((one) => one.kind === "counter");
    if (counter === undefined) continue;
    const before = totals.get(`${family} ${verdict}`) ?? { family, verdict, packets: 0, bytes: 0 };
    const packets = before.packets + Number(counter.packets ?? 0);
    totals.set(`${family} ${verdict}`, {
      ...before,
      packets,
      bytes: before.bytes + Number(counter.bytes ?? 0),
    });
  }
  return [...totals.values()];
}

function verdictOf({ statements }: ObservedRule): VerdictName {
  return statements.some((one) => one.kind === "verdict" && one.verdict === "return") ? "keep" : "masquerade";
}

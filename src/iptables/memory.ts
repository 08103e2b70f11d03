/** What the iptables driver has learned and seen, family by family. Pure bookkeeping. */

import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Snapshot } from "./netlink-view.ts";
import type { Capabilities, Observed } from "./planner.ts";

/** What a family was last found to hold. */
export interface InForce {
  readonly ruleset: Ruleset;
  /** As the tools listed them. */
  readonly rules: Observed["rules"];
  /** How it looked then; absent where that cannot be seen. */
  readonly snapshot?: Snapshot;
  /** Whether all commits up to that generation were over when it was looked at. */
  readonly isSettled?: boolean;
}

export interface Memory {
  readonly capabilities: Map<Family, Capabilities>;
  /** Whether the tool ipset is there; undefined until a list is long enough for a set. */
  ipset: boolean | undefined;
  /** The families that are to be in force, and those that were seen to be. */
  wanted: readonly Family[];
  readonly inForce: Map<Family, InForce>;
  /** Families whose chain this agent has written, or seen in force: it is healed, whatever others make of it. */
  readonly taken: Set<Family>;
  /** Families whose set may be there although the list is short by now. */
  readonly withSet: Set<Family>;
  /** As of which generation the last plans are, where all commits up to it were over. */
  readonly plannedAt: Map<Family, number>;
  /** Families of which a tool has failed while others committed: what they removed may be why, but not time after time. */
  readonly excused: Set<Family>;
  /** All commits up to this generation are over. */
  over: number;
}

/** A memory of nothing. */
export function createMemory(): Memory {
  return {
    capabilities: new Map(),
    ipset: undefined,
    wanted: [],
    inForce: new Map(),
    taken: new Set(),
    withSet: new Set(),
    plannedAt: new Map(),
    excused: new Set(),
    over: -1,
  };
}

/** Takes note that all commits up to this generation are over. */
export function noteOver(memory: Memory, generation: number): void {
  memory.over = Math.max(memory.over, generation);
}

/** Takes note that a family's rules are in force; `newest` was over when they were looked at. */
export function noteInForce(
  memory: Memory,
  ruleset: Ruleset,
  rules: Observed["rules"],
  snapshot: Snapshot | undefined,
  newest: number,
): void {
  const seen = snapshot && { snapshot, isSettled: snapshot.generation <= newest };
  memory.inForce.set(ruleset.family, { ruleset, rules, ...seen });
}

/** Takes note of the generation of which a family's plan is, where all commits up to it were over. */
export function notePlan(
  { plannedAt }: Memory,
  family: Family,
  snapshot: Snapshot | undefined,
  newest: number,
): void {
  plannedAt.delete(family);
  if (snapshot !== undefined && snapshot.generation <= newest) plannedAt.set(family, snapshot.generation);
}

/** Whether all wanted families were seen in force as of this generation; legacy tables have none. */
export function isKnownAsOf({ wanted, capabilities, inForce }: Memory, generation: number): boolean {
  return wanted.every((family) => {
    if (capabilities.get(family)?.variant === "legacy") return true;
    const { snapshot, isSettled } = inForce.get(family) ?? {};
    return snapshot !== undefined && snapshot.generation >= generation + (isSettled === true ? 0 : 1);
  });
}

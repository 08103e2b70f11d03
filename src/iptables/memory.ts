/** The memory of the iptables driver, family by family. Pure bookkeeping. */

import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Snapshot } from "./netlink-view.ts";
import type { Capabilities, Observed } from "./planner.ts";

/** The last rules of a family that were in force. */
export interface InForce {
  readonly ruleset: Ruleset;
  /** In the form of the tools' listing. */
  readonly rules: Observed["rules"];
  /** The snapshot over netlink; absent where there is no view. */
  readonly snapshot?: Snapshot;
  /** Whether all commits up to that generation were over when it was read. */
  readonly isSettled?: boolean;
}

export interface Memory {
  readonly capabilities: Map<Family, Capabilities>;
  /** Whether the tool ipset exists; undefined until a list is long enough for a set. */
  ipset: boolean | undefined;
  /** The families that should be in force, and those that an inspection found in force. */
  wanted: readonly Family[];
  readonly inForce: Map<Family, InForce>;
  /** Families whose chain this agent has written, or found in force: it heals them, whatever other processes change. */
  readonly taken: Set<Family>;
  /** The names of sets that may exist, also of those whose list is short by now. */
  readonly sets: Set<string>;
  /** The generations of the last plans, where all commits up to them were over. */
  readonly plannedAt: Map<Family, number>;
  /** Families of which a tool has failed while other processes committed: their removals may be the cause, but not repeatedly. */
  readonly excused: Set<Family>;
  /** All commits up to this generation are over. */
  over: number;
}

/** An empty memory. */
export function createMemory(): Memory {
  return {
    capabilities: new Map(),
    ipset: undefined,
    wanted: [],
    inForce: new Map(),
    taken: new Set(),
    sets: new Set(),
    plannedAt: new Map(),
    excused: new Set(),
    over: -1,
  };
}

/** Notes that all commits up to this generation are over. */
export function noteOver(memory: Memory, generation: number): void {
  memory.over = Math.max(memory.over, generation);
}

/** Notes that a family's rules are in force; `newest` was over when they were read. */
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

/** Notes the generation of a family's plan, where all commits up to it were over. */
export function notePlan(
  { plannedAt }: Memory,
  family: Family,
  snapshot: Snapshot | undefined,
  newest: number,
): void {
  plannedAt.delete(family);
  if (snapshot !== undefined && snapshot.generation <= newest) plannedAt.set(family, snapshot.generation);
}

/** Whether all wanted families were in force as of this generation; legacy tables have none. */
export function isKnownAsOf({ wanted, capabilities, inForce }: Memory, generation: number): boolean {
  return wanted.every((family) => {
    if (capabilities.get(family)?.variant === "legacy") return true;
    const { snapshot, isSettled } = inForce.get(family) ?? {};
    return snapshot !== undefined && snapshot.generation >= generation + (isSettled === true ? 0 : 1);
  });
}

/**
 * Reconciles the rulesets that are programmed together, in one pass: inspect, apply the differences, inspect again. Only the
 * inspection after a write decides whether they are in force; it repairs changes of other processes at once, a few times.
 */

import type { Attribution, Span } from "../backend/commit-log.ts";
import { Contradiction, type Driver, type Inspection, isInForce } from "../backend/driver.ts";
import { countDrift, type Drift, renderDrift } from "../core/drift.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../log/log.ts";
import { counted } from "../text/plural.ts";
import type { Backoff } from "./backoff.ts";
import { createTally, type HealingTally, warnOfHealing, warnOfUntold } from "./healing-log.ts";
import { abridge } from "./report.ts";

/** Repaired changes of other processes to a ruleset that was in force. */
export interface Healing {
  readonly drift: readonly Drift[];
  /** The processes that changed nf_tables' ruleset meanwhile; undefined where that is not known. */
  readonly attribution?: Attribution;
}

/** Rulesets that are programmed together, and our memory of them. */
export interface Group {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  readonly backoff: Backoff;
  /** The rulesets that were last programmed, or found in the kernel: later differences come from other processes. */
  applied?: readonly Ruleset[];
  /** The last warning about foreign objects that stay. */
  remains?: string;
  /** Counts healings, since a fight does not log all of them. */
  tally?: HealingTally;
  /** The last failure, until a success. */
  error?: Error;
  /** When the last thorough pass over it began. */
  thoroughAt?: number;
}

/** The effects that a group needs. */
export interface GroupWorld {
  readonly now: () => number;
  readonly log: Logger;
  /** Aborted at shutdown: nothing new begins then. */
  readonly signal?: AbortSignal;
  /** The processes that have committed to nf_tables' ruleset, where there are events. */
  readonly between?: (span: Span) => Promise<Attribution>;
  /** Called before programming, which may reset the rules' counters. */
  readonly beforeChange?: () => Promise<void>;
}

/** The result of a pass for a group. */
export interface Result {
  readonly group: Group;
  readonly drift: readonly Drift[];
  readonly applied: number;
  readonly healed: readonly Healing[];
  readonly inForce: boolean;
  readonly isTried: boolean;
  readonly tookMs: number;
  /** Whether the result is not known yet: its tools take longer than a pass waits. */
  readonly isUnderWay?: true;
  readonly error?: Error;
  /** The hash of the configuration that a failed try was for. */
  readonly config?: string | undefined;
}

/** The result of a group that was not programmed. */
export const NOTHING = {
  drift: [],
  applied: 0,
  healed: [],
  inForce: false,
  isTried: true,
  tookMs: 0,
} as const;

/** Inspects a group and programs the differences until it is in force, `rounds` times at most. */
export async function reconcileGroup(
  driver: Driver,
  group: Group,
  { thorough, rounds }: { readonly thorough: boolean; readonly rounds: number },
  world: GroupWorld,
): Promise<Result> {
  const drift: Drift[] = [];
  const healed: Healing[] = [];
  let applied = 0;
  if (group.tally !== undefined) warnOfUntold(world.log, group.label, group.tally, world.now());
  let inspection = await driver.inspect(group.rulesets, thorough);
  for (let round = 1; ; round++) {
    const done = await programGroup(driver, group, inspection, world, rounds === 1);
    drift.push(...done.drift);
    healed.push(...done.healed);
    applied += done.drift.length === 0 ? 0 : inspection.steps.length;
    inspection = done.left;
    if (isInForce(inspection) || inspection.disturbed === false || round >= rounds) break;
  }
  const result = { ...NOTHING, group, drift, healed, applied };
  if (isInForce(inspection)) return { ...result, inForce: true };
  // Where commits of other processes are not visible, we assume that there were none in every round.
  if (inspection.disturbed === true || rounds === 1) return result;
  const [first] = inspection.drift;
  const how = first === undefined ? "" : `: ${renderDrift(first)}`;
  throw new Contradiction(
    `${driver.place(group.rulesets)} was programmed, but differs from the ruleset, although no other process changed it${how}`,
  );
}

/** Carries out the plan of an inspection, and returns the next inspection. */
async function programGroup(
  driver: Driver,
  group: Group,
  inspection: Inspection,
  { log, now, signal, between, beforeChange }: GroupWorld,
  isOnce: boolean,
): Promise<{
  readonly left: Inspection;
  readonly drift: readonly Drift[];
  readonly healed: readonly Healing[];
}> {
  const startedAt = now();
  const { rulesets } = group;
  const { steps, span } = inspection;
  signal?.throwIfAborted();
  if (steps.length > 0) await beforeChange?.();
  const after = await driver.apply(inspection, rulesets);
  const drift = withoutRemnants(inspection.drift, after.remains);
  warnOfRemnants(log, group, (steps.length > 0 ? after : inspection).remains);
  // A write without a visible effect, while no other process commits, is not a healing: it becomes an error, unless there is one round only.
  const isVain = !isOnce && steps.length > 0 && after.steps.length > 0 && after.disturbed !== true;
  const isHealing = group.applied === rulesets && steps.length > 0 && drift.length > 0 && !isVain;
  const attribution = isHealing && span !== undefined ? await between?.(span) : undefined;
  group.tally ??= createTally();
  if (isHealing) warnOfHealing(log, group.label, group.tally, now(), { drift, attribution });
  else if (!isVain) {
    const done = drift.length === 0 ? { ...inspection, steps: [] } : inspection;
    for (const line of describe(driver.place(rulesets), group, done, now() - startedAt)) log.info(line);
  }
  group.applied = rulesets;
  // If other processes committed during the inspection, inspect again.
  const left =
    steps.length > 0
      ? after
      : inspection.disturbed === true
        ? await driver.inspect(rulesets, false)
        : inspection;
  return { left, drift, healed: isHealing ? [{ drift, ...(attribution && { attribution }) }] : [] };
}

/** Foreign objects that could not be removed were not healed. */
function withoutRemnants(drift: readonly Drift[], remains: Inspection["remains"] = []): readonly Drift[] {
  if (remains.length === 0) return drift;
  const places = new Set(remains.map(({ where }) => where));
  return drift.filter(({ kind, where }) => kind !== "extra" || !places.has(where));
}

/** Warns about foreign objects that stay in our table, once for the same ones. */
function warnOfRemnants(log: Logger, group: Group, remains: Inspection["remains"]): void {
  if (remains === undefined) return;
  const lines = abridge(
    remains,
    ({ where, why }) =>
      `${group.label}: ${where} in the agent's table is foreign and cannot be removed (${why}); the masquerade rules are correct nevertheless`,
  );
  const text = lines.join("\n");
  if (text !== (group.remains ?? "")) for (const line of lines) log.warning(line);
  group.remains = text;
}

/** The log lines of a pass that succeeded and healed nothing: none, if nothing changed. */
function describe(
  place: string,
  { label, rulesets, applied }: Group,
  { steps, drift, disturbed }: Inspection,
  durationMs: number,
): readonly string[] {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  const rules = `${place} with ${counted(cidrs, "CIDR")}`;
  if (steps.length === 0)
    return applied === undefined && disturbed !== true ? [`${label}: ${rules} is in force already`] : [];
  return [
    `${label}: programmed ${rules} (${counted(countDrift(drift), "difference")}) in ${durationMs.toFixed(0)} ms`,
  ];
}

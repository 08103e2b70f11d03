/**
 * The rulesets that are programmed together, in one pass: look, apply what differs, look again. What was seen after a write
 * decides whether they are in force, and what others did meanwhile is undone at once, some times.
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

/** What others had changed of a ruleset that was in force, and was put right. */
export interface Healing {
  readonly drift: readonly Drift[];
  /** Who has changed the ruleset of nf_tables meanwhile; undefined where that cannot be told. */
  readonly attribution?: Attribution;
}

/** Rulesets that are programmed together, and what is remembered of them. */
export interface Group {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  readonly backoff: Backoff;
  /** Those that were last programmed, or found in the kernel: what differs from them then is others' doing. */
  applied?: readonly Ruleset[];
  /** What was last said of things of others that stay. */
  remains?: string;
  /** Healings, of which not all are said in a fight. */
  tally?: HealingTally;
  /** What it failed with, until that is over. */
  error?: Error;
  /** When the last thorough pass began that has looked at it. */
  thoroughAt?: number;
}

/** What it needs of the world. */
export interface GroupWorld {
  readonly now: () => number;
  readonly log: Logger;
  /** Aborted when the agent is told to end: nothing new is begun then. */
  readonly signal?: AbortSignal;
  /** Who has committed to nf_tables' ruleset, where that is heard. */
  readonly between?: (span: Span) => Promise<Attribution>;
  /** Called before something is programmed: what the rules have counted may be lost by it. */
  readonly beforeChange?: () => Promise<void>;
}

/** What was done for a group. */
export interface Result {
  readonly group: Group;
  readonly drift: readonly Drift[];
  readonly applied: number;
  readonly healed: readonly Healing[];
  readonly inForce: boolean;
  readonly isTried: boolean;
  readonly tookMs: number;
  /** Whether it is not known yet what it comes to: its tools take longer than a pass waits for them. */
  readonly isUnderWay?: true;
  readonly error?: Error;
}

/** Of a group for which nothing was done. */
export const NOTHING = {
  drift: [],
  applied: 0,
  healed: [],
  inForce: false,
  isTried: true,
  tookMs: 0,
} as const;

/** Looks at a group and programs what differs, until it is seen to be in force, `rounds` times at most. */
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
  // Where it cannot be told whether others were at work, they were not as often as that.
  if (inspection.disturbed === true || rounds === 1) return result;
  const [first] = inspection.drift;
  const how = first === undefined ? "" : `: ${renderDrift(first)}`;
  throw new Contradiction(
    `${driver.place(group.rulesets)} was programmed, but is not as it should be, although nobody else has changed it${how}`,
  );
}

/** Carries out what a look has found, and says what it left. */
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
  // What does not show, as far as can be told without anybody's doing, is no healing: it becomes an error, unless it is done once.
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
  // What was looked at while others changed it is looked at again.
  const left =
    steps.length > 0
      ? after
      : inspection.disturbed === true
        ? await driver.inspect(rulesets, false)
        : inspection;
  return { left, drift, healed: isHealing ? [{ drift, ...(attribution && { attribution }) }] : [] };
}

/** What could not be removed was not healed. */
function withoutRemnants(drift: readonly Drift[], remains: Inspection["remains"] = []): readonly Drift[] {
  if (remains.length === 0) return drift;
  const places = new Set(remains.map(({ where }) => where));
  return drift.filter(({ kind, where }) => kind !== "extra" || !places.has(where));
}

/** Says what of others stays in our table, once for the same things. */
function warnOfRemnants(log: Logger, group: Group, remains: Inspection["remains"]): void {
  if (remains === undefined) return;
  const lines = abridge(
    remains,
    ({ where, why }) =>
      `${group.label}: ${where} in the agent's table is foreign and cannot be removed (${why}); the masquerade rules are right all the same`,
  );
  const text = lines.join("\n");
  if (text !== (group.remains ?? "")) for (const line of lines) log.warning(line);
  group.remains = text;
}

/** What there is to say about a pass that succeeded and healed nothing: nothing, if nothing changed. */
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

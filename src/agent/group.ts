/**
 * The rulesets that are programmed together, in one pass: look, apply what differs, look again. What was seen after a write
 * decides whether they are in force, and what others did meanwhile is undone at once, some times.
 */
import { type Drift, renderDrift } from "../core/diff.ts";
import { counted } from "../core/plural.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../observe/log.ts";
import { renderCulprits, type Span, type Testimony } from "../source/witness.ts";
import type { Backoff } from "./backoff.ts";
import { Contradiction, type Driver, isInForce, type Look } from "./driver.ts";
import { abridge, LINES_AT_MOST } from "./report.ts";

/** What others had changed of a ruleset that was in force, and was put right. */
export interface Healing {
  readonly drift: readonly Drift[];
  /** Who has changed the ruleset of nf_tables meanwhile; undefined where that cannot be told. */
  readonly testimony?: Testimony;
}

/** Rulesets that are programmed together, and what is remembered of them. */
export interface Group {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  readonly backoff: Backoff;
  /** Those that were last programmed, or found in the kernel: what differs from them then is others' doing. */
  applied?: readonly Ruleset[];
  /** What it failed with, until that is over. */
  error?: Error;
}

/** What it needs of the world. */
export interface GroupWorld {
  readonly now: () => number;
  readonly log: Logger;
  /** Aborted when the agent is told to end: nothing new is begun then. */
  readonly signal?: AbortSignal;
  /** Who has committed to nf_tables' ruleset, where that is heard. */
  readonly between?: (span: Span) => Promise<Testimony>;
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
  readonly error?: Error;
}

/** Of a group for which nothing was done. */
export const NOTHING = { drift: [], applied: 0, healed: [], inForce: false, isTried: true } as const;

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
  let look = await driver.look(group.rulesets, thorough);
  for (let round = 1; ; round++) {
    const done = await programGroup(driver, group, look, world);
    drift.push(...look.drift);
    healed.push(...done.healed);
    applied += look.steps.length;
    look = done.left;
    if (isInForce(look) || look.disturbed === false || round >= rounds) break;
  }
  const result = { ...NOTHING, group, drift, healed, applied };
  if (isInForce(look)) return { ...result, inForce: true };
  // Where it cannot be told whether others were at work, they were not as often as that.
  if (look.disturbed === true || rounds === 1) return result;
  const [first] = look.drift;
  const how = first === undefined ? "" : `: ${renderDrift(first)}`;
  throw new Contradiction(
    `${driver.place(group.rulesets)} was programmed, but is not as it should be, although nobody else has changed it${how}`,
  );
}

/** Carries out what a look has found, and says what it left. */
async function programGroup(
  driver: Driver,
  group: Group,
  look: Look,
  { log, now, signal, between, beforeChange }: GroupWorld,
): Promise<{ readonly left: Look; readonly healed: readonly Healing[] }> {
  const startedAt = now();
  const { rulesets } = group;
  const { drift, steps, span } = look;
  signal?.throwIfAborted();
  if (steps.length > 0) await beforeChange?.();
  const after = await driver.apply(look, rulesets);
  const isHealing = group.applied === rulesets && steps.length > 0;
  const testimony = isHealing && span !== undefined ? await between?.(span) : undefined;
  if (isHealing) warnOfHealing(log, group.label, drift, testimony);
  else for (const line of describe(driver.place(rulesets), group, look, now() - startedAt)) log.info(line);
  group.applied = rulesets;
  // What was looked at while others changed it is looked at again.
  const left = steps.length > 0 ? after : look.disturbed === true ? await driver.look(rulesets, false) : look;
  return { left, healed: isHealing ? [{ drift, ...(testimony && { testimony }) }] : [] };
}

/** What others had changed is a warning, although it was put right: while it was so, packets went the wrong way. */
function warnOfHealing(
  log: Logger,
  label: string,
  drift: readonly Drift[],
  testimony: Testimony | undefined,
): void {
  const culprits = testimony && renderCulprits(testimony);
  const by = culprits === undefined ? "" : `, changed by ${culprits}`;
  const { process, pid } = testimony?.commits.at(-1) ?? {};
  const lines = abridge(drift, (one) => `${label}: healed: ${renderDrift(one)}${by}`);
  for (const [i, line] of lines.entries()) {
    const kind = i < LINES_AT_MOST ? drift[i]?.kind : undefined;
    log.with({ kind, process, pid }).warning(line);
  }
}

/** What there is to say about a pass that succeeded and healed nothing: nothing, if nothing changed. */
function describe(
  place: string,
  { label, rulesets, applied }: Group,
  { steps, drift, disturbed }: Look,
  durationMs: number,
): readonly string[] {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  const rules = `${place} with ${counted(cidrs, "CIDR")}`;
  if (steps.length === 0)
    return applied === undefined && disturbed !== true ? [`${label}: ${rules} is in force already`] : [];
  return [
    `${label}: programmed ${rules} (${counted(drift.length, "difference")}) in ${durationMs.toFixed(0)} ms`,
  ];
}

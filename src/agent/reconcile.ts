/**
 * One pass: read the configuration, compile it, look at what the kernel has, and apply what differs.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which is still kept healed, and an
 * error is logged when it changes. Without it, everything is as in the Go program: a bad configuration ends the
 * pass, and every failing pass says so. In both, a family that fails does not keep the other from its turn.
 */

import type { Plan } from "../backend/backend.ts";
import { type ConfigText, DEFAULT_RESYNC_MS, type MasqConfig, MIN_RESYNC_MS } from "../core/config.ts";
import { type Drift, renderDrift } from "../core/diff.ts";
import { counted } from "../core/plural.ts";
import { compileRuleset, enabledFamilies, type Options, type Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../observe/log.ts";
import { renderCulprits, type Span, type Testimony } from "../source/witness.ts";
import { type ConfigReading, type CurrentConfig, createConfigHolder } from "./config.ts";
import { type Driver, type FailureReason, isFailure, reasonOf } from "./driver.ts";
import { abridge, createReporter, LINES_AT_MOST } from "./report.ts";

/** What others had changed of a ruleset that was in force, and was put right. */
export interface Healing {
  readonly drift: readonly Drift[];
  /** Who has changed the ruleset of nf_tables meanwhile; undefined where that cannot be told. */
  readonly testimony?: Testimony;
}

/** What a pass came to for rulesets that are programmed together. */
export interface GroupOutcome {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  /** Whether the rules are as they should be now. */
  readonly inForce: boolean;
  /** Whether something was programmed. */
  readonly changed: boolean;
}

/** What a pass came to. */
export interface Outcome {
  /** Milliseconds of the clock that the pass was given. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** What was not as it should be; put right unless there is an error. */
  readonly drift: readonly Drift[];
  /** The part of it that others are to blame for. */
  readonly healed: readonly Healing[];
  /** How many steps were taken to change something. */
  readonly applied: number;
  readonly errors: readonly string[];
  /** What failed, by kind. */
  readonly failures: readonly FailureReason[];
  /** Whether trying again may help, without a change of the configuration. */
  readonly failed: boolean;
  readonly config: ConfigReading;
  /** The last good configuration, for which `groups` are; undefined before the first. */
  readonly current: CurrentConfig | undefined;
  readonly groups: readonly GroupOutcome[];
  readonly resyncIntervalMs: number;
  /** Milliseconds until the next pass is due at the latest: everything is looked at once per resync interval. */
  readonly dueInMs: number;
}

/** What a pass needs of the world. */
export interface ReconcileWorld {
  readonly readConfig: () => ConfigText;
  readonly now: () => number;
  readonly log: Logger;
  /** Who has committed to nf_tables' ruleset, where that is heard. */
  readonly between?: (span: Span) => Promise<Testimony>;
  /** Called before something is programmed: what the rules have counted may be lost by it. */
  readonly beforeChange?: () => Promise<void>;
}

export interface ReconcileOptions extends Options {
  readonly configPath: string;
  readonly watch: boolean;
}

/** Rulesets that are programmed together, and which of them the kernel was last seen to hold. */
interface Group {
  readonly label: string;
  rulesets: readonly Ruleset[];
  inForce?: readonly Ruleset[];
}

/** The pass of an agent with these options, to be called again and again. */
export function createReconciler(
  driver: Driver,
  options: ReconcileOptions,
  world: ReconcileWorld,
): () => Promise<Outcome> {
  const { log, now } = world;
  const report = createReporter(log, !options.watch);
  const config = createConfigHolder(options.configPath, options, world, report);
  const groupsOf = createCompiler(driver, options);
  let thoroughAt = Number.NEGATIVE_INFINITY;

  const tryGroup = async (group: Group, thorough: boolean): Promise<Result> => {
    const fields = { family: group.label, backend: driver.name, config: config.current()?.hash };
    const about = log.with(fields);
    try {
      const result = await reconcileGroup(driver, group, thorough, { ...world, log: about });
      if (report.clear(group.label)) about.info(`${group.label}: the masquerade rules are in force again`);
      return result;
    } catch (error) {
      if (!isFailure(error)) throw error;
      const what = `Error syncing masquerade rules${group.label === "IPv6" ? " for IPv6" : ""}`;
      const about = { ...fields, kind: reasonOf(error) };
      report.error(group.label, what, [error.message], { cause: error, about });
      return { group, drift: [], applied: 0, error };
    }
  };

  return async () => {
    const startedAt = now();
    const reading = config.refresh();
    const { problems } = reading;
    const current = config.current();
    const resyncIntervalMs = current?.config.resyncIntervalMs ?? DEFAULT_RESYNC_MS;
    // Timers may fire a little early.
    const thorough = !options.watch || startedAt - thoroughAt >= resyncIntervalMs - TIMER_SLACK_MS;
    const results: Result[] = [];
    if (current !== undefined && (problems.length === 0 || options.watch)) {
      for (const group of groupsOf(current.config)) results.push(await tryGroup(group, thorough));
    }
    const errors = results.flatMap(({ error }) => error ?? []);
    // What failed has not been looked at.
    if (thorough && errors.length === 0) thoroughAt = startedAt;
    const configFailures = problems.length === 0 ? [] : ([reading.failed ? "source" : "config"] as const);
    return {
      startedAt,
      durationMs: now() - startedAt,
      drift: results.flatMap(({ drift }) => drift),
      healed: results.flatMap(({ healing }) => healing ?? []),
      applied: results.reduce((sum, { applied }) => sum + applied, 0),
      errors: [...problems, ...errors.map(({ message }) => message)],
      failures: [...configFailures, ...errors.map(reasonOf)],
      failed: reading.failed || errors.length > 0,
      config: reading,
      current,
      groups: results.map(({ group: { label, rulesets }, applied, error }) => ({
        label,
        rulesets,
        inForce: error === undefined,
        changed: applied > 0,
      })),
      resyncIntervalMs,
      // Without events the interval begins with the pass's end, as in the Go program.
      dueInMs: options.watch
        ? Math.max(
            MIN_RESYNC_MS,
            Math.max(thoroughAt, startedAt - resyncIntervalMs) + resyncIntervalMs - now(),
          )
        : resyncIntervalMs,
    };
  };
}

const TIMER_SLACK_MS = 5;

/** The groups for a configuration, compiled anew only when it has changed; what is in force is remembered by label. */
function createCompiler(driver: Driver, options: Options): (config: MasqConfig) => Iterable<Group> {
  const groups = new Map<string, Group>();
  let compiled: MasqConfig | undefined;
  return (config) => {
    if (compiled === config) return groups.values();
    compiled = config;
    const rulesets = enabledFamilies(options).map((family) => compileRuleset(family, config, options));
    for (const group of driver.groups(rulesets)) {
      const label = group.map(({ family }) => family).join(" and ");
      groups.set(label, { ...groups.get(label), label, rulesets: group });
    }
    return groups.values();
  };
}

/** What was done for a group. */
interface Result {
  readonly group: Group;
  readonly drift: readonly Drift[];
  readonly applied: number;
  readonly healing?: Healing;
  readonly error?: Error;
}

async function reconcileGroup(
  driver: Driver,
  group: Group,
  thorough: boolean,
  { log, now, between, beforeChange }: ReconcileWorld,
): Promise<Result> {
  const startedAt = now();
  const { rulesets } = group;
  const plan = await driver.look(rulesets, thorough);
  const { drift, steps } = plan;
  if (steps.length > 0) await beforeChange?.();
  await driver.apply(plan, rulesets);
  const isHealing = group.inForce === rulesets && steps.length > 0;
  const testimony = isHealing && plan.span !== undefined ? await between?.(plan.span) : undefined;
  if (isHealing) warnOfHealing(log, group.label, drift, testimony);
  else for (const line of describe(driver.place(rulesets), group, plan, now() - startedAt)) log.info(line);
  group.inForce = rulesets;
  const done = { group, drift, applied: steps.length };
  return isHealing ? { ...done, healing: { drift, ...(testimony && { testimony }) } } : done;
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
  { label, rulesets, inForce }: Group,
  { steps, drift }: Plan,
  durationMs: number,
): readonly string[] {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  const rules = `${place} with ${counted(cidrs, "CIDR")}`;
  if (steps.length === 0) return inForce === undefined ? [`${label}: ${rules} is in force already`] : [];
  return [
    `${label}: programmed ${rules} (${counted(drift.length, "difference")}) in ${durationMs.toFixed(0)} ms`,
  ];
}

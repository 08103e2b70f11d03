/**
 * One pass: read the configuration, compile it, look at what the kernel has, and apply what differs.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which is still kept healed, and an
 * error is logged when it changes. Without it, everything is as in the Go program: a bad configuration ends the
 * pass, and every failing pass says so. In both, a family that fails does not keep the other from its turn.
 */
import { type ConfigText, DEFAULT_RESYNC_MS, type MasqConfig, MIN_RESYNC_MS } from "../core/config.ts";
import type { Drift } from "../core/diff.ts";
import { compileRuleset, enabledFamilies, type Options, type Ruleset } from "../core/ruleset.ts";
import { createBackoff } from "./backoff.ts";
import { type ConfigReading, type CurrentConfig, createConfigHolder } from "./config.ts";
import { type Driver, type FailureReason, isFailure, reasonOf } from "./driver.ts";
import { type Group, type GroupWorld, type Healing, NOTHING, type Result, reconcileGroup } from "./group.ts";
import { createReporter } from "./report.ts";

/** What a pass came to for rulesets that are programmed together. */
export interface GroupOutcome {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  /** Whether the rules were seen to be as they should be, after all that was programmed. */
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
  /** What was tried and failed, by kind; an error that only lasts, until it is tried again, is not counted twice. */
  readonly failures: readonly FailureReason[];
  /** Whether trying again may help, without a change of the configuration. */
  readonly failed: boolean;
  /** Whether another pass has to follow at once: others undid what was programmed as often as it was. */
  readonly again: boolean;
  readonly config: ConfigReading;
  /** The last good configuration, for which `groups` are; undefined before the first. */
  readonly current: CurrentConfig | undefined;
  readonly groups: readonly GroupOutcome[];
  readonly resyncIntervalMs: number;
  /** Milliseconds until the next pass is due at the latest: everything is looked at once per resync interval, and failures are retried. */
  readonly dueInMs: number;
}

/** What a pass needs of the world. */
export interface ReconcileWorld extends GroupWorld {
  readonly readConfig: () => ConfigText;
  /** From [0, 1), to spread retries. */
  readonly random: () => number;
}

export interface ReconcileOptions extends Options {
  readonly configPath: string;
  readonly watch: boolean;
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
  const groupsOf = createCompiler(driver, options, world.random);
  const source = createBackoff(world.random);
  let thoroughAt = Number.NEGATIVE_INFINITY;

  const tryGroup = async (group: Group, thorough: boolean, resyncIntervalMs: number): Promise<Result> => {
    const { label, backoff, error: last } = group;
    if (options.watch && last !== undefined && now() + TIMER_SLACK_MS < (backoff.dueAt() ?? 0)) {
      backoff.hurry();
      return { ...NOTHING, group, error: last, isTried: false };
    }
    const fields = { family: label, backend: driver.name, config: config.current()?.hash };
    const about = log.with(fields);
    const beganAt = now();
    try {
      const rounds = options.watch ? ROUNDS : 1;
      const result = await reconcileGroup(driver, group, { thorough, rounds }, { ...world, log: about });
      delete group.error;
      backoff.succeeded();
      if (result.inForce && report.clear(label))
        about.info(`${label}: the masquerade rules are in force again`);
      return result;
    } catch (error) {
      if (!isFailure(error)) throw error;
      group.error = error;
      backoff.failed(now(), now() - beganAt, resyncIntervalMs);
      const what = `Error syncing masquerade rules${label === "IPv6" ? " for IPv6" : ""}`;
      const about = { ...fields, kind: reasonOf(error) };
      report.error(label, what, [error.message], { cause: error, about });
      return { ...NOTHING, group, error };
    }
  };

  /** Without events the interval begins with the pass's end, as in the Go program. */
  const dueInMs = (startedAt: number, resyncIntervalMs: number, groups: readonly Group[]): number => {
    if (!options.watch) return resyncIntervalMs;
    const resyncAt = Math.max(thoroughAt, startedAt - resyncIntervalMs) + resyncIntervalMs;
    const retries = [source, ...groups.map(({ backoff }) => backoff)].flatMap((one) => one.dueAt() ?? []);
    const resyncIn = Math.max(MIN_RESYNC_MS, resyncAt - now());
    return Math.max(0, Math.min(resyncIn, ...retries.map((at) => at - now())));
  };

  return async () => {
    const startedAt = now();
    const reading = config.refresh();
    const { problems } = reading;
    const current = config.current();
    const resyncIntervalMs = current?.config.resyncIntervalMs ?? DEFAULT_RESYNC_MS;
    if (reading.failed) source.failed(startedAt, 0, resyncIntervalMs);
    else source.succeeded();
    // Timers may fire a little early.
    const thorough = !options.watch || startedAt - thoroughAt >= resyncIntervalMs - TIMER_SLACK_MS;
    const results: Result[] = [];
    if (current !== undefined && (problems.length === 0 || options.watch)) {
      for (const group of groupsOf(current.config))
        results.push(await tryGroup(group, thorough, resyncIntervalMs));
    }
    const errors = results.flatMap(({ error }) => error ?? []);
    const tried = results.flatMap(({ error, isTried }) => (error !== undefined && isTried ? error : []));
    // What failed has not been looked at.
    if (thorough && errors.length === 0) thoroughAt = startedAt;
    const configFailures = problems.length === 0 ? [] : ([reading.failed ? "source" : "config"] as const);
    return {
      startedAt,
      durationMs: now() - startedAt,
      drift: results.flatMap(({ drift }) => drift),
      healed: results.flatMap(({ healed }) => healed),
      applied: results.reduce((sum, { applied }) => sum + applied, 0),
      errors: [...problems, ...errors.map(({ message }) => message)],
      failures: [...configFailures, ...tried.map(reasonOf)],
      failed: reading.failed || errors.length > 0,
      again: options.watch && results.some(({ inForce, error }) => !inForce && error === undefined),
      config: reading,
      current,
      groups: results.map(({ group: { label, rulesets }, applied, inForce }) => ({
        label,
        rulesets,
        inForce,
        changed: applied > 0,
      })),
      resyncIntervalMs,
      dueInMs: dueInMs(
        startedAt,
        resyncIntervalMs,
        results.map(({ group }) => group),
      ),
    };
  };
}

const TIMER_SLACK_MS = 5;

/** How often a pass programs a group at most while others undo it: what they do next comes in the next pass, which is paced. */
const ROUNDS = 3;

/** The groups for a configuration, compiled anew only when it has changed; what was applied is remembered by label. */
function createCompiler(
  driver: Driver,
  options: Options,
  random: () => number,
): (config: MasqConfig) => Iterable<Group> {
  const groups = new Map<string, Group>();
  let compiled: MasqConfig | undefined;
  return (config) => {
    if (compiled === config) return groups.values();
    compiled = config;
    const rulesets = enabledFamilies(options).map((family) => compileRuleset(family, config, options));
    for (const group of driver.groups(rulesets)) {
      const label = group.map(({ family }) => family).join(" and ");
      const { applied, remains } = groups.get(label) ?? {};
      // Whatever has failed may not with another configuration, so it is tried at once.
      const fresh = { label, rulesets: group, backoff: createBackoff(random) };
      groups.set(label, { ...fresh, ...(applied && { applied }), ...(remains && { remains }) });
    }
    return groups.values();
  };
}

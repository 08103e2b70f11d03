/**
 * One pass: read the configuration, compile it, look at what the kernel has, and apply what differs.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which is still kept healed, and an
 * error is logged when it changes, and a pass does not wait for a family whose tools take long as long as there is another.
 * Without it, everything is as in the Go program: a bad configuration ends the pass, and every failing pass says so. In
 * both, a family that fails does not keep the other from its turn.
 */

import { type Driver, type FailureReason, isFailure, reasonOf } from "../backend/driver.ts";
import type { ConfigText, MasqConfig } from "../core/config.ts";
import type { Drift } from "../core/drift.ts";
import { DEFAULT_RESYNC_MS, MIN_RESYNC_MS } from "../core/keys.ts";
import type { PortRange } from "../core/ports.ts";
import { compileRuleset, enabledFamilies, type Options, type Ruleset } from "../core/ruleset.ts";
import { type Backoff, createBackoff, MAX_RETRY_MS } from "./backoff.ts";
import { type ConfigReading, type CurrentConfig, createConfigHolder } from "./config/holder.ts";
import { type Group, type GroupWorld, type Healing, NOTHING, type Result, reconcileGroup } from "./group.ts";
import { createReporter, type Reporter } from "./report.ts";
import { createTurns, type TurnsWorld } from "./turns.ts";

/** What a pass came to for rulesets that are programmed together. */
export interface GroupOutcome {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  /** Whether the rules were seen to be as they should be, after all that was programmed. */
  readonly inForce: boolean;
  /** Whether something was programmed. */
  readonly changed: boolean;
  /** Whether its tools are still at work, so that nothing is known of its rules. */
  readonly isUnderWay?: true;
}

/** What a pass came to. */
export interface PassOutcome {
  /** Milliseconds of the clock that the pass was given. */
  readonly startedAt: number;
  /** What it took to do what is told of here; what is under way, and what was waited for it, is not part of it. */
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
  /** With `watch`: for groups whose tools take longer than the others wait. A pass has to follow when they have ended. */
  readonly turns?: TurnsWorld;
  /** The source ports of this moment, where they may change; the same array as long as they are the same. */
  readonly toPorts?: () => readonly PortRange[];
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
): () => Promise<PassOutcome> {
  const { log, now } = world;
  const report = createReporter(log, !options.watch);
  const config = createConfigHolder(options.configPath, options, world, report);
  const groupsOf = createCompiler(driver, options, world);
  const source = createBackoff(world.random);
  const turns = createTurns<Result>(options.watch ? world.turns : undefined);
  const tryGroup = createGroupPass(driver, options.watch, world, report);

  /** All groups' turns: what each came to, and how long it was waited for what it was not told then. */
  const tryGroups = async (groups: readonly Group[], pass: Timing) => {
    const results: Result[] = [];
    let waitedMs = 0;
    for (const group of groups) {
      const begin = () => tryGroup(group, pass, config.current()?.hash);
      const since = now();
      // Where nobody else waits, it is known when it has ended.
      const result = groups.length === 1 ? await begin() : await turns.take(group.label, begin);
      if (result === undefined) waitedMs += now() - since;
      results.push(result ?? { ...NOTHING, group, isTried: false, isUnderWay: true });
    }
    return { results, waitedMs };
  };

  return async () => {
    const startedAt = now();
    const late = turns.collect();
    const reading = config.refresh();
    const { problems } = reading;
    const current = config.current();
    const resyncIntervalMs = current?.config.resyncIntervalMs ?? DEFAULT_RESYNC_MS;
    const pass = { startedAt, resyncIntervalMs };
    if (reading.failed) source.failed(startedAt, 0, resyncIntervalMs);
    else source.succeeded();
    const isLooking = current !== undefined && (problems.length === 0 || options.watch);
    const groups = isLooking ? [...groupsOf(current.config)] : [];
    const { results, waitedMs } = await tryGroups(groups, pass);
    const all = [...late, ...results];
    const errors = results.flatMap(({ error }) => error ?? []);
    return {
      startedAt,
      durationMs: late.reduce((sum, { tookMs }) => sum + tookMs, now() - startedAt - waitedMs),
      drift: all.flatMap(({ drift }) => drift),
      healed: all.flatMap(({ healed }) => healed),
      applied: all.reduce((sum, { applied }) => sum + applied, 0),
      errors: [...problems, ...errors.map(({ message }) => message)],
      failures: failuresOf(reading, all),
      failed: reading.failed || errors.length > 0,
      again: options.watch && results.some(isUndone),
      config: reading,
      current,
      groups: results.map((result) => describeGroup(result, late)),
      resyncIntervalMs,
      dueInMs: options.watch ? dueInMs(pass, source, results, now()) : resyncIntervalMs,
    };
  };
}

/** What kinds of failure a pass has seen: reading the configuration, and groups that were tried. */
function failuresOf(
  { problems, failed }: PassOutcome["config"],
  results: readonly Result[],
): PassOutcome["failures"] {
  const tried = results.flatMap(({ error, isTried }) => (error !== undefined && isTried ? error : []));
  const ofConfig = problems.length === 0 ? [] : ([failed ? "source" : "config"] as const);
  return [...ofConfig, ...tried.map(reasonOf)];
}

/** When a pass began, and how long after it the next one looks at everything. */
interface Timing {
  readonly startedAt: number;
  readonly resyncIntervalMs: number;
}

/** One group's part in a pass, of which a failure is a result. */
function createGroupPass(driver: Driver, watch: boolean, world: ReconcileWorld, report: Reporter) {
  const { log, now } = world;
  return async (group: Group, { startedAt, resyncIntervalMs }: Timing, hash?: string): Promise<Result> => {
    const { label, backoff, error: last, thoroughAt = Number.NEGATIVE_INFINITY } = group;
    if (watch && last !== undefined && now() + TIMER_SLACK_MS < (backoff.dueAt() ?? 0)) {
      backoff.hurry();
      return { ...NOTHING, group, error: last, isTried: false };
    }
    // Timers may fire a little early.
    const thorough = !watch || startedAt - thoroughAt >= resyncIntervalMs - TIMER_SLACK_MS;
    const fields = { family: label, backend: driver.name, config: hash };
    const about = log.with(fields);
    const beganAt = now();
    try {
      const rounds = watch ? ROUNDS : 1;
      const result = await reconcileGroup(driver, group, { thorough, rounds }, { ...world, log: about });
      delete group.error;
      backoff.succeeded();
      if (thorough) group.thoroughAt = startedAt;
      if (result.inForce && report.clear(label))
        about.info(`${label}: the masquerade rules are in force again`);
      return { ...result, tookMs: now() - beganAt };
    } catch (error) {
      if (!isFailure(error)) throw error;
      group.error = error;
      const tookMs = now() - beganAt;
      backoff.failed(now(), tookMs, Math.min(resyncIntervalMs, MAX_RETRY_MS));
      const what = `Error syncing masquerade rules${label === "IPv6" ? " for IPv6" : ""}`;
      report.error(label, what, [error.message], {
        cause: error,
        about: { ...fields, kind: reasonOf(error) },
      });
      return { ...NOTHING, group, error, tookMs };
    }
  };
}

/** With `watch`. Without, the interval begins with the pass's end, as in the Go program. What is under way asks for a pass itself. */
function dueInMs(
  { startedAt, resyncIntervalMs }: Timing,
  source: Backoff,
  results: readonly Result[],
  now: number,
): number {
  const groups = results.flatMap(({ group, isUnderWay }) => (isUnderWay ? [] : group));
  const lookedAt = groups.map(({ thoroughAt = Number.NEGATIVE_INFINITY }) => thoroughAt);
  const resyncAt =
    Math.max(Math.min(startedAt, ...lookedAt), startedAt - resyncIntervalMs) + resyncIntervalMs;
  const retries = [source, ...groups.map(({ backoff }) => backoff)].flatMap((one) => one.dueAt() ?? []);
  const resyncIn = Math.max(MIN_RESYNC_MS, resyncAt - now);
  return Math.max(0, Math.min(resyncIn, ...retries.map((at) => at - now)));
}

/** Whether others undid what was programmed as often as it was. */
function isUndone({ inForce, error, isUnderWay }: Result): boolean {
  return !inForce && error === undefined && !isUnderWay;
}

function describeGroup(
  { group: { label, rulesets }, applied, inForce, isUnderWay }: Result,
  late: readonly Result[],
): GroupOutcome {
  const before = late.some((one) => one.group.label === label && one.applied > 0);
  return { label, rulesets, inForce, changed: applied > 0 || before, ...(isUnderWay && { isUnderWay }) };
}

const TIMER_SLACK_MS = 5;

/** How often a pass programs a group at most while others undo it: what they do next comes in the next pass, which is paced. */
const ROUNDS = 3;

/** The groups for a configuration, compiled again only when it or the ports have changed; what was applied is remembered by label. */
function createCompiler(
  driver: Driver,
  options: Options,
  { random, toPorts = () => options.toPorts }: Pick<ReconcileWorld, "random" | "toPorts">,
): (config: MasqConfig) => Iterable<Group> {
  const groups = new Map<string, Group>();
  let compiled: { readonly config: MasqConfig; readonly ports: readonly PortRange[] } | undefined;
  return (config) => {
    const ports = toPorts();
    if (compiled?.config === config && compiled.ports === ports) return groups.values();
    compiled = { config, ports };
    const current = { ...options, toPorts: ports };
    const rulesets = enabledFamilies(options).map((family) => compileRuleset(family, config, current));
    for (const group of driver.groups(rulesets)) {
      const label = group.map(({ family }) => family).join(" and ");
      // Whatever has failed may not with another configuration, so it is tried at once.
      const { error: _, ...kept } = groups.get(label) ?? { error: undefined };
      groups.set(label, { ...kept, label, rulesets: group, backoff: createBackoff(random) });
    }
    return groups.values();
  };
}

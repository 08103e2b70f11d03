/**
 * One pass: read the configuration, compile it, inspect the kernel's rules, and apply the differences.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which passes still heal; the log has an error once,
 * when it changes; and a pass does not wait for a family with slow tools if there is another.
 * Without it, everything is as in the Go program: a bad configuration ends the pass, and every failing pass logs it. In
 * both modes, a failing family does not keep the other from its turn.
 */

import { type Driver, type FailureReason, isFailure, reasonOf } from "../backend/driver.ts";
import type { ConfigText, MasqConfig } from "../core/config.ts";
import type { Drift } from "../core/drift.ts";
import { DEFAULT_RESYNC_MS, MIN_RESYNC_MS } from "../core/keys.ts";
import type { PortRange } from "../core/ports.ts";
import {
  compileRuleset,
  enabledFamilies,
  type NodeAddresses,
  type Options,
  type Ruleset,
} from "../core/ruleset.ts";
import { type Backoff, createBackoff, MAX_RETRY_MS } from "./backoff.ts";
import { type ConfigReading, type CurrentConfig, createConfigHolder } from "./config/holder.ts";
import { type Group, type GroupWorld, type Healing, NOTHING, type Result, reconcileGroup } from "./group.ts";
import type { Leaving, OutputAddresses } from "./output-addresses.ts";
import { createReporter, type Reporter } from "./report.ts";
import { createTurns, type Turns, type TurnsWorld } from "./turns.ts";

/** The outcome of a pass for rulesets that are programmed together. */
export interface GroupOutcome {
  readonly label: string;
  readonly rulesets: readonly Ruleset[];
  /** Whether the inspection after all writes found the rules in sync. */
  readonly inForce: boolean;
  /** Whether the pass programmed something. */
  readonly changed: boolean;
  /** Whether its tools still run, so that the state of its rules is unknown. */
  readonly isUnderWay?: true;
}

/** The outcome of a pass. */
export interface PassOutcome {
  /** Milliseconds of the pass's clock. */
  readonly startedAt: number;
  /** The time for the work in this outcome, without work that is still under way and the wait for it. */
  readonly durationMs: number;
  /** Detected drift; repaired unless there is an error. */
  readonly drift: readonly Drift[];
  /** The part of it that other processes caused. */
  readonly healed: readonly Healing[];
  /** The number of steps that changed something. */
  readonly applied: number;
  readonly errors: readonly string[];
  /** The attempts that failed, by kind; an error that waits for its retry does not count again. */
  readonly failures: readonly FailureReason[];
  /** Whether a retry may help, without a change of the configuration. */
  readonly failed: boolean;
  /** Whether another pass has to follow at once: other processes reverted each write. */
  readonly again: boolean;
  readonly config: ConfigReading;
  /** The last good configuration, for which `groups` are; undefined before the first. */
  readonly current: CurrentConfig | undefined;
  readonly groups: readonly GroupOutcome[];
  /** The node's addresses in use, for each family that the configuration names addresses of. */
  readonly leaving: readonly Leaving[];
  readonly resyncIntervalMs: number;
  /** Milliseconds until the next pass is due at the latest: each resync interval inspects everything, and failures are retried. */
  readonly dueInMs: number;
}

/** The effects that a pass needs. */
export interface ReconcileWorld extends GroupWorld {
  readonly readConfig: () => ConfigText;
  /** From [0, 1), to spread retries. */
  readonly random: () => number;
  /** With `watch`: for groups whose tools take longer than the other groups wait. A pass has to follow when they have ended. */
  readonly turns?: TurnsWorld;
  /** The current source ports, where they may change; the same array as long as they are the same. */
  readonly toPorts?: () => readonly PortRange[];
  /** Without it, the kernel chooses the addresses that packets leave with. */
  readonly addresses?: Pick<OutputAddresses, "look" | "found" | "leaving">;
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
  const reportFailure = (result: Result) => reportGroup(driver.name, result, report);

  return async () => {
    const startedAt = now();
    const late = turns.collect();
    late.forEach(reportFailure);
    const reading = config.refresh();
    const { problems } = reading;
    const current = config.current();
    const resyncIntervalMs = current?.config.resyncIntervalMs ?? DEFAULT_RESYNC_MS;
    const pass = { startedAt, resyncIntervalMs };
    if (reading.failed) source.failed(startedAt, 0, resyncIntervalMs);
    else source.succeeded();
    const isLooking = current !== undefined && (problems.length === 0 || options.watch);
    const own = isLooking ? await world.addresses?.look(current.config) : undefined;
    const groups = isLooking ? [...groupsOf(current.config, own)] : [];
    const begin = (group: Group) => tryGroup(group, pass, current?.hash);
    const { results, waitedMs } = await takeTurns(groups, turns, begin, now);
    results.forEach(reportFailure);
    const all = [...late, ...results];
    world.addresses?.found(all.flatMap(({ drift }) => drift));
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
      leaving: world.addresses?.leaving() ?? [],
      resyncIntervalMs,
      dueInMs: options.watch ? dueInMs(pass, source, results, now()) : resyncIntervalMs,
    };
  };
}

/** Takes all groups' turns: their results, and the time of waiting for groups that did not end. */
async function takeTurns(
  groups: readonly Group[],
  turns: Pick<Turns<Result>, "take">,
  begin: (group: Group) => Promise<Result>,
  now: () => number,
) {
  const results: Result[] = [];
  let waitedMs = 0;
  for (const group of groups) {
    const since = now();
    // A single group keeps no other waiting, so we await its end.
    const result =
      groups.length === 1 ? await begin(group) : await turns.take(group.label, () => begin(group));
    if (result === undefined) waitedMs += now() - since;
    results.push(result ?? { ...NOTHING, group, isTried: false, isUnderWay: true });
  }
  return { results, waitedMs };
}

/** The kinds of failure in a pass: reading the configuration, and groups that were tried. */
function failuresOf(
  { problems, failed }: PassOutcome["config"],
  results: readonly Result[],
): PassOutcome["failures"] {
  const tried = results.flatMap(({ error, isTried }) => (error !== undefined && isTried ? error : []));
  const ofConfig = problems.length === 0 ? [] : ([failed ? "source" : "config"] as const);
  return [...ofConfig, ...tried.map(reasonOf)];
}

/** When a pass began, and the time until the next one inspects everything. */
interface Timing {
  readonly startedAt: number;
  readonly resyncIntervalMs: number;
}

/** One group's part in a pass; a failure is a result. */
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
      return { ...NOTHING, group, error, tookMs, config: hash };
    }
  };
}

/** Logs a group's failure; after the other groups' turns, so that the line marks a state that lasts. */
function reportGroup(
  backend: Driver["name"],
  { group: { label }, error, isTried, config }: Result,
  report: Reporter,
): void {
  if (error === undefined || !isTried) return;
  const what = `Error syncing masquerade rules${label === "IPv6" ? " for IPv6" : ""}`;
  const about = { family: label, backend, config, kind: reasonOf(error) };
  report.error(label, what, [error.message], { cause: error, about });
}

/** With `watch`. Without, the interval begins with the pass's end, as in the Go program. Work that is under way requests a pass at its end. */
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

/** Whether other processes reverted each write. */
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

/** The number of writes of a group in a pass while other processes revert them: the next pass, which the throttle delays, continues. */
const ROUNDS = 3;

/** The groups for a configuration, compiled again only when it, the ports or the addresses have changed; each label keeps its applied rulesets. */
function createCompiler(
  driver: Driver,
  options: Options,
  { random, toPorts = () => options.toPorts }: Pick<ReconcileWorld, "random" | "toPorts">,
): (config: MasqConfig, own: NodeAddresses | undefined) => Iterable<Group> {
  const groups = new Map<string, Group>();
  let compiled: readonly unknown[] = [];
  return (config, own) => {
    const ports = toPorts();
    const from = [config, ports, own];
    if (groups.size > 0 && from.every((value, i) => value === compiled[i])) return groups.values();
    compiled = from;
    const current = { ...options, toPorts: ports };
    const rulesets = enabledFamilies(options).map((family) => compileRuleset(family, config, current, own));
    for (const group of driver.groups(rulesets)) {
      const label = group.map(({ family }) => family).join(" and ");
      // A group that failed may succeed with a new configuration, so the next try is immediate.
      const { error: _, ...kept } = groups.get(label) ?? { error: undefined };
      groups.set(label, { ...kept, label, rulesets: group, backoff: createBackoff(random) });
    }
    return groups.values();
  };
}

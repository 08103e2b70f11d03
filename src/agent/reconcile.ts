/**
 * One pass: read the configuration, compile it, look at what the kernel has, and apply what differs.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which is still kept healed, and an
 * error is logged when it changes. Without it, everything is as in the Go program: a bad configuration ends the
 * pass, and every failing pass says so. In both, a family that fails does not keep the other from its turn.
 */
import type { Plan } from "../backend/backend.ts";
import { type ConfigText, DEFAULT_RESYNC_MS, type MasqConfig } from "../core/config.ts";
import { type Drift, renderDrift } from "../core/diff.ts";
import { compileRuleset, enabledFamilies, type Options, type Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../observe/log.ts";
import { createConfigHolder } from "./config.ts";
import { type Driver, isFailure } from "./driver.ts";
import { abridge, createReporter } from "./report.ts";

/** What a pass came to. */
export interface Outcome {
  readonly durationMs: number;
  /** What was not as it should be; put right unless there is an error. */
  readonly drift: readonly Drift[];
  /** How many steps were taken to change something. */
  readonly applied: number;
  readonly errors: readonly string[];
  /** When the next pass is due at the latest. */
  readonly resyncIntervalMs: number;
}

/** What a pass needs of the world. */
export interface ReconcileWorld {
  readonly readConfig: () => ConfigText;
  readonly now: () => number;
  readonly log: Logger;
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

  const tryGroup = async (group: Group): Promise<Plan | string> => {
    try {
      const plan = await reconcileGroup(driver, group, world);
      if (report.clear(group.label)) log.info(`${group.label}: the masquerade rules are in force again`);
      return plan;
    } catch (error) {
      if (!isFailure(error)) throw error;
      const what = `Error syncing masquerade rules${group.label === "IPv6" ? " for IPv6" : ""}`;
      report.error(group.label, what, [error.message], error);
      return error.message;
    }
  };

  return async () => {
    const startedAt = now();
    const problems = config.refresh();
    const current = config.current();
    const results: (Plan | string)[] = [];
    if (current !== undefined && (problems.length === 0 || options.watch)) {
      for (const group of groupsOf(current)) results.push(await tryGroup(group));
    }
    const plans = results.filter((result) => typeof result !== "string");
    return {
      durationMs: now() - startedAt,
      drift: plans.flatMap((plan) => plan.drift),
      applied: plans.reduce((sum, plan) => sum + plan.steps.length, 0),
      errors: [...problems, ...results.filter((result) => typeof result === "string")],
      resyncIntervalMs: current?.resyncIntervalMs ?? DEFAULT_RESYNC_MS,
    };
  };
}

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

async function reconcileGroup(driver: Driver, group: Group, { log, now }: ReconcileWorld): Promise<Plan> {
  const startedAt = now();
  const { rulesets } = group;
  const plan = await driver.look(rulesets);
  await driver.apply(plan, rulesets);
  for (const line of describe(driver.place(rulesets), group, plan, now() - startedAt)) log.info(line);
  group.inForce = rulesets;
  return plan;
}

/** What there is to say about a pass that succeeded: nothing, if nothing changed. */
function describe(
  place: string,
  { label, rulesets, inForce }: Group,
  plan: Plan,
  durationMs: number,
): readonly string[] {
  const cidrs = rulesets.reduce((sum, { entries }) => sum + entries.length, 0);
  const rules = `${place} with ${count(cidrs, "CIDR")}`;
  if (plan.steps.length === 0) return inForce === undefined ? [`${label}: ${rules} is in force already`] : [];
  if (inForce === rulesets)
    return abridge(plan.drift.map((drift) => `${label}: healed: ${renderDrift(drift)}`));
  return [
    `${label}: programmed ${rules} (${count(plan.drift.length, "difference")}) in ${durationMs.toFixed(0)} ms`,
  ];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

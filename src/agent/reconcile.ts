/**
 * One pass: read the configuration, compile it, look at what the kernel has, and apply what differs.
 * The pass does not know why it runs.
 *
 * With `watch`, a bad configuration leaves the last good one in force, which is still kept healed, and an
 * error is logged when it changes. Without it, everything is as in the Go program: a bad configuration ends the
 * pass, and every failing pass says so. In both, a family that fails does not keep the other from its turn.
 */
import type { Answer, Backend, Capabilities, Plan, Script, Tools } from "../backend/backend.ts";
import type { Family } from "../core/cidr.ts";
import { type ConfigText, DEFAULT_RESYNC_MS, type MasqConfig } from "../core/config.ts";
import { type Drift, renderDrift } from "../core/diff.ts";
import { compileRuleset, enabledFamilies, type Options, type Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../observe/log.ts";
import { createConfigHolder } from "./config.ts";
import { CommandError } from "./exec.ts";
import { abridge, createReporter } from "./report.ts";

/** What a pass came to. */
export interface Outcome {
  readonly durationMs: number;
  /** What was not as it should be; put right unless there is an error. */
  readonly drift: readonly Drift[];
  /** How many scripts were run to change something. */
  readonly applied: number;
  readonly errors: readonly string[];
  /** When the next pass is due at the latest. */
  readonly resyncIntervalMs: number;
}

/** What a pass needs of the world. */
export interface ReconcileWorld {
  readonly readConfig: () => ConfigText;
  readonly run: (script: Script) => Promise<Answer>;
  readonly probe: (tools: Tools, run: (script: Script) => Promise<Answer>) => Promise<Capabilities>;
  readonly now: () => number;
  readonly log: Logger;
}

export interface ReconcileOptions extends Options {
  readonly configPath: string;
  readonly watch: boolean;
}

/** What is known of one family from earlier passes. */
interface FamilyState {
  capabilities?: Capabilities;
  compiled?: { readonly config: MasqConfig; readonly ruleset: Ruleset };
  /** The ruleset that was last found or put in force. */
  inForce?: Ruleset;
}

/** The pass of an agent with these options, to be called again and again. */
export function createReconciler(
  backend: Backend,
  options: ReconcileOptions,
  world: ReconcileWorld,
): () => Promise<Outcome> {
  const { log, now } = world;
  const report = createReporter(log, !options.watch);
  const config = createConfigHolder(options.configPath, options, world, report);
  const families = new Map(enabledFamilies(options).map((family): [Family, FamilyState] => [family, {}]));

  const tryFamily = async (
    family: Family,
    state: FamilyState,
    current: MasqConfig,
  ): Promise<Plan | string> => {
    try {
      const plan = await reconcileFamily(backend, compiled(family, state, current, options), state, world);
      if (report.clear(family)) log.info(`${family}: the masquerade rules are in force again`);
      return plan;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const what = `Error syncing masquerade rules${family === "IPv6" ? " for IPv6" : ""}`;
      report.error(family, what, [error.message], error);
      return error.message;
    }
  };

  return async () => {
    const startedAt = now();
    const problems = config.refresh();
    const current = config.current();
    const results: (Plan | string)[] = [];
    if (current !== undefined && (problems.length === 0 || options.watch)) {
      for (const [family, state] of families) results.push(await tryFamily(family, state, current));
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

/** The family's ruleset, compiled anew only when the configuration has changed. */
function compiled(family: Family, state: FamilyState, config: MasqConfig, options: Options): Ruleset {
  if (state.compiled?.config !== config)
    state.compiled = { config, ruleset: compileRuleset(family, config, options) };
  return state.compiled.ruleset;
}

async function reconcileFamily(
  backend: Backend,
  ruleset: Ruleset,
  state: FamilyState,
  world: ReconcileWorld,
): Promise<Plan> {
  const { log, now, run } = world;
  const startedAt = now();
  state.capabilities ??= await capabilitiesOf(backend, ruleset, world);
  const { capabilities } = state;
  const look = async () => {
    const answers = await inspect(backend.inspect(ruleset, capabilities), run);
    return backend.plan(ruleset, capabilities, backend.parse(ruleset, capabilities, answers));
  };
  let plan = await look();
  // A listing by iptables-nft 1.8.9 can end early without a word while somebody commits: drift is looked at twice.
  if (plan.steps.length > 0 && state.inForce === ruleset) plan = await look();
  for (const step of plan.steps) await run(step);
  for (const line of describe(ruleset, state.inForce, plan, now() - startedAt)) log.info(line);
  state.inForce = ruleset;
  return plan;
}

async function capabilitiesOf(
  backend: Backend,
  { family, masquerade }: Ruleset,
  { probe, run, log }: ReconcileWorld,
): Promise<Capabilities> {
  const { command } = backend.tools(family);
  const capabilities = await probe(backend.tools(family), run);
  log.info(`${family}: using ${command} ${capabilities.version} (${capabilities.variant})`);
  if (masquerade.randomFully && !capabilities.randomFully) {
    log.warning(
      `${family}: ${command} ${capabilities.version} does not know --random-fully (1.6.2 does): masquerading without it`,
    );
  }
  return capabilities;
}

/** Runs scripts that look until one says no: what the next one asks for cannot be there either. */
async function inspect(scripts: readonly Script[], run: ReconcileWorld["run"]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const script of scripts) {
    const answer = await run(script);
    answers.push(answer);
    if (answer.exitCode !== 0) break;
  }
  return answers;
}

/** What there is to say about a pass that succeeded: nothing, if nothing changed. */
function describe(
  ruleset: Ruleset,
  before: Ruleset | undefined,
  plan: Plan,
  durationMs: number,
): readonly string[] {
  const { family, chain, entries } = ruleset;
  const rules = `chain ${chain} with ${count(entries.length, "CIDR")}`;
  if (plan.steps.length === 0) return before === undefined ? [`${family}: ${rules} is in force already`] : [];
  if (before === ruleset)
    return abridge(plan.drift.map((drift) => `${family}: healed: ${renderDrift(drift)}`));
  return [
    `${family}: programmed ${rules} (${count(plan.drift.length, "difference")}) in ${durationMs.toFixed(0)} ms`,
  ];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

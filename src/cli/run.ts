/** The command `run`: the agent itself. */

import type { Chosen } from "../agent/choose.ts";
import type { ConfigSources } from "../agent/config/config-map.ts";
import { runLoop } from "../agent/loop.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import { createTriggers, type Reason } from "../agent/triggers.ts";
import { countDrift } from "../core/drift.ts";
import { enabledFamilies } from "../core/ruleset.ts";
import { effectiveFlags } from "../go/flags.ts";
import { goQuote } from "../go/quote.ts";
import { LogFileError } from "../log/file.ts";
import { logSettings } from "../log/flags.ts";
import { createLogger, type Logger } from "../log/log.ts";
import { systemClock } from "../system/clock.ts";
import { keepHeapSmall } from "../system/heap.ts";
import { describeLowLimit, readMemoryLimit } from "../system/memory-limit.ts";
import { counted } from "../text/plural.ts";
import { createReporting } from "./beside.ts";
import type { CommandLine } from "./command-line.ts";
import { followPorts } from "./follow-ports.ts";
import { createMonitoring } from "./monitoring.ts";
import { type AgentFlags, agentFlags, agentOptions, readsDirectoryAt } from "./options.ts";
import { createPasses, type Passes } from "./passes.ts";
import { VERSION } from "./version.ts";

/** The agent that a command line calls for. */
type Asked = Extract<CommandLine, { kind: "agent" }>;

/** Runs until `signal` is aborted. Returns an exit code if it could not start, undefined after the abort. */
export async function runAgent(asked: Asked, signal: AbortSignal): Promise<number | undefined> {
  if (process.platform !== "linux") {
    const others = "the commands validate, explain, diff and render work here: ip-masq-agent help";
    process.stderr.write(
      `ip-masq-agent: the agent runs on Linux only, not on ${process.platform}; ${others}\n`,
    );
    return 1;
  }
  try {
    return await start(asked, signal);
  } catch (error) {
    if (!(error instanceof LogFileError)) throw error;
    process.stderr.write(`log: exiting because of error: ${error.message}\n`);
    return 2;
  }
}

async function start(
  { flags: { values }, ignored }: Asked,
  signal: AbortSignal,
): Promise<number | undefined> {
  const log = createLogger(logSettings(values, values["logging-format"]), "cli/run.ts");
  const refuse = (why: string) => {
    log.fatal(why);
    return 1;
  };
  const flags = effectiveFlags(agentFlags, values);
  const memoryLimit = readMemoryLimit();
  logStart(log, flags, [ignored, describeLowLimit(memoryLimit)]);
  const asked = agentOptions(values);
  if (!asked.ok) return refuse(`Invalid --to-ports flag ${goQuote(values["to-ports"])}: ${asked.message}`);
  const options = asked.value;
  const triggers = createTriggers(systemClock);
  const sources = await openSources(values, () => triggers.request("config"), log);
  if (sources?.ok === false)
    return refuse(`Invalid --config-map flag ${goQuote(values["config-map"])}: ${sources.message}`);
  const configSources = sources?.value;
  let engine: Passes["engine"] | undefined;
  const backend = () => backendOf(engine?.().choice);
  const reporting = openReporting(values.report, backend, configSources, log, signal);
  const toPorts = followPorts(values["to-ports"], options.toPorts, log);
  let forgotten: Passes["forgotten"] | undefined;
  const monitoring = createMonitoring(
    {
      address: options.httpAddress,
      backend,
      driver: { counters: async () => (await engine?.().driver.counters?.()) ?? { verdicts: [] } },
      toPorts,
      forgotten: () => forgotten?.() ?? [],
      families: enabledFamilies(options),
      flags,
      log,
      ...(configSources && { sources: configSources.view }),
      ...(reporting && { reports: reporting.counts }),
    },
    signal,
  );
  const sample = async () => monitoring?.sample();
  const world = { triggers, memoryLimit, toPorts, sample, log, ...(configSources && { configSources }) };
  const passes = await createPasses(options, world, signal);
  if (!passes.ok) return refuse(`No backend works: ${passes.lacks.join("; ")}`);
  ({ engine, forgotten } = passes);
  const report = (outcome: PassOutcome, reason: Reason, fightMs: number) => {
    if (log.v(PASSES)) log.info(describePass(outcome, reason), PASSES);
    passes.sources?.report(outcome, reason, fightMs);
    monitoring?.report(outcome, reason);
    reporting?.after(outcome, fightMs);
  };
  const loop = { watch: options.watch, triggers, begin: () => monitoring?.queued(), report };
  // Not sooner: with different flags V8 compiles Node's own modules again, which by now have compiled what the program
  // needs.
  keepHeapSmall();
  await runLoop(passes.reconcile, loop, systemClock, signal);
  await passes.over();
  return undefined;
}

function logStart(
  log: Logger,
  flags: readonly (readonly [name: string, value: string])[],
  warnings: readonly (string | undefined)[],
): void {
  log.info(`ip-masq-agent version: ${VERSION}`);
  for (const [name, value] of flags) log.info(`FLAG: --${name}=${goQuote(value)}`);
  for (const warning of warnings) if (warning !== undefined) log.warning(warning);
}

/** Reports to the cluster, if --report asks for them. */
function openReporting(
  where: AgentFlags["values"]["report"],
  backend: () => { readonly name: string },
  sources: Extract<ConfigSources, { ok: true }>["value"] | undefined,
  log: Logger,
  signal: AbortSignal,
) {
  const world = {
    version: VERSION,
    backend: () => backend().name,
    configMaps: () => sources?.configMaps() ?? [],
    log: log.named("agent/fleet/lease-report.ts"),
  };
  return createReporting(where, world, signal);
}

/** The sources of --config-map; undefined without it, when nothing of them is loaded. */
async function openSources(
  values: AgentFlags["values"],
  changed: () => void,
  log: Logger,
): Promise<ConfigSources | undefined> {
  const { "config-map": configMap, "state-dir": stateDir, config: configPath } = values;
  if (configMap === "") return undefined;
  if (!values.watch) return { ok: false, message: "it needs --watch, which is false" };
  const { createConfigSources } = await import("../agent/config/config-map.ts");
  const directoryAllowed = readsDirectoryAt(configPath);
  return createConfigSources({
    ...{ configMap, stateDir, configPath, directoryAllowed, changed },
    log: log.named("agent/config/two-sources.ts"),
  });
}

function backendOf(choice: Chosen | undefined): { readonly name: string; readonly why: string } {
  return choice === undefined
    ? { name: "none yet", why: "checking which tools work" }
    : { name: choice.name, why: choice.why };
}

/** The verbosity at which each pass logs a line, even if it finds nothing to do. */
const PASSES = 4;

function describePass({ drift, applied, errors, durationMs }: PassOutcome, reason: Reason): string {
  const counts = [
    counted(countDrift(drift), "difference"),
    counted(applied, "step"),
    counted(errors.length, "error"),
  ];
  return `pass (${reason}): ${counts.join(", ")}, ${durationMs.toFixed(1)} ms`;
}

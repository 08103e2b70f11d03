/** The command `run`: the agent itself. */

import { type BackendName, type Choice, chooseBackend } from "../agent/choose.ts";
import { systemClock } from "../agent/clock.ts";
import { isFailure } from "../agent/driver.ts";
import { run as runScript } from "../agent/exec.ts";
import { cutAfter } from "../agent/grace.ts";
import { createHeapRelief } from "../agent/heap.ts";
import { createInbox, type Reason } from "../agent/inbox.ts";
import { iptablesDriver } from "../agent/iptables-driver.ts";
import { warnOfLeftovers } from "../agent/leftovers.ts";
import { runLoop } from "../agent/loop.ts";
import { removeOthers, variantsWith } from "../agent/move.ts";
import { createSight } from "../agent/nat-sight.ts";
import { nftablesDriver } from "../agent/nftables-driver.ts";
import { probe } from "../agent/probe.ts";
import { createReconciler, type Outcome } from "../agent/reconcile.ts";
import { createSources } from "../agent/sources.ts";
import { chooseVariant } from "../agent/variant.ts";
import type { Answer, Script } from "../backend/backend.ts";
import { type IptablesVariant, iptablesBackend } from "../backend/iptables.ts";
import { effectiveFlags } from "../core/flags.ts";
import { counted } from "../core/plural.ts";
import { parsePorts } from "../core/ports.ts";
import { goQuote } from "../core/quote.ts";
import { enabledFamilies } from "../core/ruleset.ts";
import { openNftables } from "../nftables/transport.ts";
import { createLogger, type Logger } from "../observe/log.ts";
import { LogFileError } from "../observe/logfile.ts";
import { readConfig } from "../source/file.ts";
import { createWitness, type Span } from "../source/witness.ts";
import type { CommandLine } from "./command-line.ts";
import { createMonitoring } from "./monitoring.ts";
import { type AgentOptions, agentFlags, agentOptions } from "./options.ts";
import { VERSION } from "./version.ts";

/** The agent that a command line asks for. */
type Asked = Extract<CommandLine, { kind: "agent" }>;

/** Runs until `signal` is aborted. Returns an exit code if it could not start, undefined once it was aborted. */
export async function runAgent(asked: Asked, signal: AbortSignal): Promise<number | undefined> {
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
  const options = agentOptions(values);
  const log = createLogger(options.log, "cli/run.ts");
  log.info(`ip-masq-agent version: ${VERSION}`);
  const flags = effectiveFlags(agentFlags, values);
  for (const [name, value] of flags) log.info(`FLAG: --${name}=${goQuote(value)}`);
  if (ignored !== undefined) log.warning(ignored);
  const toPorts = parsePorts(options.toPorts);
  if (!toPorts.ok) {
    log.fatal(`Invalid --to-ports flag ${goQuote(options.toPorts)}: ${toPorts.message}`);
    return 1;
  }
  const cut = cutAfter(signal);
  const run = (script: Script) => runScript(script, signal);
  const finish = (script: Script) => runScript(script, cut);
  const variant = await variantFor(options, run);
  const witness = createWitness(systemClock.sleep);
  const sight = options.watch ? createSight(options.masqChain, openNftables, cut) : undefined;
  const tools = {
    run,
    finish,
    probe,
    log: log.named("agent/iptables-driver.ts"),
    claim: witness.claim,
    ...(sight && { sight }),
  };
  const iptables = (which: IptablesVariant) =>
    iptablesDriver(iptablesBackend(which, options.ipsetThreshold), options.masqChain, tools);
  const between = (span: Span) => witness.between(span, signal);
  const nftables = () =>
    nftablesDriver(options.masqChain, signal, { now: systemClock.now, between, claim: witness.claim, cut });

  const choice = await choose(options.backend, iptablesBackend(variant).tools("IPv4").command, run);
  if (!choice.ok) {
    log.fatal(`No backend works: ${choice.lacks.join("; ")}`);
    return 1;
  }
  log.with({ backend: choice.name }).info(`backend: ${choice.name} (${choice.why})`);
  const usesNftables = choice.name === "nftables";
  const rules = {
    ...options,
    toPorts: toPorts.ranges,
    setsAbove: usesNftables ? 0 : options.ipsetThreshold || Number.POSITIVE_INFINITY,
  };
  const directoryAllowed = options.configPath !== agentFlags.config.initial;
  const world = {
    readConfig: () => readConfig(options.configPath, directoryAllowed),
    now: systemClock.now,
    log: log.named("agent/reconcile.ts"),
    random: Math.random,
    signal,
    between,
    beforeChange: async () => monitoring?.sample(),
  };
  const driver = usesNftables ? nftables() : iptables(variant);
  const others = async () =>
    usesNftables ? (await variantsWith(options.masqChain, openNftables)).map(iptables) : [nftables()];
  const monitoring = createMonitoring(
    {
      address: options.httpAddress,
      backend: () => ({ name: choice.name, why: choice.why }),
      driver,
      toPorts: toPorts.ranges,
      families: enabledFamilies(options),
      flags,
      log,
    },
    signal,
  );
  const inbox = createInbox(systemClock);
  const sources = options.watch
    ? createSources(
        { configPath: options.configPath, driver, inbox, witness, log: log.named("source") },
        signal,
      )
    : undefined;
  const reconcile = afterwards(createReconciler(driver, rules, world), log, [
    () => removeOthers(others, log),
    driver.tidy,
    async () => (usesNftables ? undefined : warnOfLeftovers(iptablesBackend(variant), rules, tools)),
  ]);
  const report = (outcome: Outcome, reason: Reason, fightMs: number) => {
    if (log.v(PASSES)) log.info(describePass(outcome, reason), PASSES);
    sources?.report(outcome, reason, fightMs);
    monitoring?.report(outcome, reason);
  };
  const begin = () => monitoring?.queued();
  const loop = { watch: options.watch, inbox, begin, report };
  await runLoop(reconcile, loop, systemClock, signal);
  return undefined;
}

/** The verbosity at which each pass has a line, also those that find nothing to do. */
const PASSES = 4;

function describePass({ drift, applied, errors, durationMs }: Outcome, reason: Reason): string {
  const counts = [
    counted(drift.length, "difference"),
    counted(applied, "step"),
    counted(errors.length, "error"),
  ];
  return `pass (${reason}): ${counts.join(", ")}, ${durationMs.toFixed(1)} ms`;
}

async function variantFor(
  { backend, iptablesMode }: AgentOptions,
  run: (script: Script) => Promise<Answer>,
): Promise<IptablesVariant> {
  if (iptablesMode !== "auto") return iptablesMode;
  return backend === "nftables" ? "path" : chooseVariant(run);
}

async function choose(
  wanted: BackendName | "auto",
  iptables: string,
  run: (script: Script) => Promise<Answer>,
): Promise<Choice> {
  if (wanted !== "auto") return { ok: true, name: wanted, why: "--backend" };
  return chooseBackend(iptables, { run, open: openNftables });
}

/**
 * `reconcile`, and after a pass without an error what can wait until rules are in force: each task once, the next
 * when the one before has succeeded. What fails is tried again a resync interval later, however many passes there are.
 */
function afterwards(
  reconcile: () => Promise<Outcome>,
  log: Logger,
  tasks: (() => Promise<void>)[],
): () => Promise<Outcome> {
  const relieveHeap = createHeapRelief();
  let notBefore = Number.NEGATIVE_INFINITY;
  let said: string | undefined;
  return async () => {
    const outcome = await reconcile();
    relieveHeap();
    if (outcome.errors.length > 0 || systemClock.now() < notBefore) return outcome;
    try {
      for (; tasks[0] !== undefined; tasks.shift()) await tasks[0]();
    } catch (error) {
      if (!isFailure(error)) throw error;
      notBefore = systemClock.now() + outcome.resyncIntervalMs;
      if (error.message !== said)
        log.warning(`cannot clear away what earlier agents have left, trying again: ${error.message}`);
      said = error.message;
    }
    return outcome;
  };
}

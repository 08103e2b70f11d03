/** The command `run`: the agent itself. */

import { type Chosen, type Decision, decide, signsOf } from "../agent/choose.ts";
import { systemClock } from "../agent/clock.ts";
import { isFailure } from "../agent/driver.ts";
import { run as runScript } from "../agent/exec.ts";
import { type Followed, followChoice, type Task } from "../agent/follow.ts";
import { createHeapRelief } from "../agent/heap.ts";
import { type Hold, holdChain } from "../agent/hold.ts";
import { createInbox, type Reason } from "../agent/inbox.ts";
import { runLoop } from "../agent/loop.ts";
import { describeLowLimit, readMemoryLimit } from "../agent/memory-limit.ts";
import type { Outcome } from "../agent/reconcile.ts";
import { createSigns } from "../agent/signs.ts";
import { createSources } from "../agent/sources.ts";
import { createAside, createTurns, type Turns } from "../agent/turns.ts";
import type { Script } from "../backend/backend.ts";
import { countDrift } from "../core/diff.ts";
import { effectiveFlags } from "../core/flags.ts";
import { counted } from "../core/plural.ts";
import { parsePorts } from "../core/ports.ts";
import { goQuote } from "../core/quote.ts";
import { enabledFamilies } from "../core/ruleset.ts";
import { trimMemory } from "../nftables/addon.ts";
import { openNftables } from "../nftables/transport.ts";
import { createLogger, type Logger } from "../observe/log.ts";
import { LogFileError } from "../observe/logfile.ts";
import { createWitness } from "../source/witness.ts";
import type { CommandLine } from "./command-line.ts";
import { createEngines } from "./engines.ts";
import { createMonitoring } from "./monitoring.ts";
import { agentFlags, agentOptions } from "./options.ts";
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
  const lowMemory = describeLowLimit(readMemoryLimit());
  if (lowMemory !== undefined) log.warning(lowMemory);
  const toPorts = parsePorts(options.toPorts);
  if (!toPorts.ok) {
    log.fatal(`Invalid --to-ports flag ${goQuote(options.toPorts)}: ${toPorts.message}`);
    return 1;
  }
  const run = (script: Script) => runScript(script, signal);
  let engine: Followed["engine"] | undefined;
  const monitoring = createMonitoring(
    {
      address: options.httpAddress,
      backend: () => backendOf(engine?.().choice),
      driver: { counters: async () => (await engine?.().driver.counters?.()) ?? [] },
      toPorts: toPorts.ranges,
      families: enabledFamilies(options),
      flags,
      log,
    },
    signal,
  );
  const choose = () => decide(options, { run, open: openNftables });
  const look = createSigns(signsOf(options), openNftables);
  // Looked at first: what comes while it is chosen is seen later.
  const signs = await look();
  const choice = await choose();
  if (!choice.ok) {
    log.fatal(`No backend works: ${choice.lacks.join("; ")}`);
    return 1;
  }
  log.with({ backend: choice.name }).info(`backend: ${choice.name} (${choice.why})`);
  const inbox = createInbox(systemClock);
  const succeeded = () => options.watch && inbox.request("ruleset");
  const holdWorld = { ...systemClock, log: log.named("agent/hold.ts"), succeeded };
  const hold = holdChain(options.masqChain, holdWorld, signal);
  const witness = createWitness(systemClock.sleep);
  const beforeChange = async () => monitoring?.sample();
  const aside = createAside(() => inbox.request("ruleset"));
  const turns = { sleep: systemClock.sleep, goesOn: aside.goesOn };
  const engines = createEngines(options, toPorts.ranges, { turns, witness, beforeChange, log }, signal);
  const turnsHere = options.watch ? turns : undefined;
  const clearing = createTurns<void>(turnsHere);
  const choosing = createTurns<{ seen: string | undefined; choice: Decision }>(turnsHere);
  const follow = {
    look,
    choose: async (seen: string | undefined) => {
      const late = choosing.collect().find((one) => one.seen === seen);
      const begin = async () => ({ seen, choice: await choose() });
      return (late ?? (await choosing.take(`choosing for ${seen}`, begin)))?.choice;
    },
    // Counters begin at zero then, which has to be seen before they have overtaken the old ones.
    moved: () => void monitoring?.sample(),
    isFree: () => !clearing.isUnderWay(CLEARING),
    now: systemClock.now,
    log,
    watch: options.watch,
  };
  const followed = followChoice(engines.build(choice), signs, { ...engines, ...follow });
  engine = followed.engine;
  const sources = options.watch
    ? createSources(
        { configPath: options.configPath, driver: followed, inbox, witness, log: log.named("source") },
        signal,
      )
    : undefined;
  const reconcile = afterwards(followed, { hold, clearing, log });
  const report = (outcome: Outcome, reason: Reason, fightMs: number) => {
    if (log.v(PASSES)) log.info(describePass(outcome, reason), PASSES);
    sources?.report(outcome, reason, fightMs);
    monitoring?.report(outcome, reason);
  };
  const begin = () => monitoring?.queued();
  const loop = { watch: options.watch, inbox, begin, report };
  await runLoop(reconcile, loop, systemClock, signal);
  await aside.over();
  return undefined;
}

function backendOf(choice: Chosen | undefined): { readonly name: string; readonly why: string } {
  return choice === undefined
    ? { name: "none yet", why: "tools are asked what works" }
    : { name: choice.name, why: choice.why };
}

/** The verbosity at which each pass has a line, also those that find nothing to do. */
const PASSES = 4;

function describePass({ drift, applied, errors, durationMs }: Outcome, reason: Reason): string {
  const counts = [
    counted(countDrift(drift), "difference"),
    counted(applied, "step"),
    counted(errors.length, "error"),
  ];
  return `pass (${reason}): ${counts.join(", ")}, ${durationMs.toFixed(1)} ms`;
}

interface AfterwardsWorld {
  readonly hold: Hold;
  readonly clearing: Turns<void>;
  readonly log: Logger;
}

const CLEARING = "clearing away";

/**
 * A pass, and after one without an error what can wait until rules are in force: each task once, the next when the one
 * before has succeeded. What fails is tried again a resync interval later, however many passes there are. What takes long goes
 * on beside the next passes. As long as another agent lives, what was not made by this one may be its own, and stays.
 */
function afterwards(
  { reconcile, tasks }: Followed,
  { hold, clearing, log }: AfterwardsWorld,
): () => Promise<Outcome> {
  const relieveHeap = createHeapRelief(trimMemory);
  let notBefore = Number.NEGATIVE_INFINITY;
  let said: string | undefined;
  const clear = async (left: Task[], resyncIntervalMs: number) => {
    if (!(await hold.isAlone())) return;
    try {
      for (; left[0] !== undefined; left.shift()) await left[0]();
    } catch (error) {
      if (!isFailure(error)) throw error;
      notBefore = systemClock.now() + resyncIntervalMs;
      if (error.message !== said)
        log.warning(`cannot clear away what earlier agents have left, trying again: ${error.message}`);
      said = error.message;
    }
  };
  return async () => {
    clearing.collect();
    const outcome = await reconcile();
    relieveHeap();
    const left = tasks();
    const isInForce = outcome.errors.length === 0 && outcome.groups.every((group) => group.inForce);
    if (left.length > 0 && isInForce && systemClock.now() >= notBefore)
      await clearing.take(CLEARING, () => clear(left, outcome.resyncIntervalMs));
    return outcome;
  };
}

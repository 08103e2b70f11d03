/** The command `run`: the agent itself. */

import { afterwards, CLEARING } from "../agent/afterwards.ts";
import { type Chosen, type Decision, decide, signsOf } from "../agent/choose.ts";
import { type Followed, followChoice } from "../agent/follow.ts";
import type { Healing } from "../agent/group.ts";
import { runLoop } from "../agent/loop.ts";
import type { Outcome } from "../agent/reconcile.ts";
import { createRivalWatch } from "../agent/rivals.ts";
import { createSigns } from "../agent/signs.ts";
import { createSources } from "../agent/sources.ts";
import { createInbox, type Reason } from "../agent/triggers.ts";
import { createAside, createTurns } from "../agent/turns.ts";
import { createWitness } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import { countDrift } from "../core/drift.ts";
import { parsePorts } from "../core/ports.ts";
import { enabledFamilies } from "../core/ruleset.ts";
import { effectiveFlags } from "../go/flags.ts";
import { goQuote } from "../go/quote.ts";
import { LogFileError } from "../log/file.ts";
import { createLogger } from "../log/log.ts";
import { trimMemory } from "../netlink/socket/addon.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { holdChain } from "../presence/hold.ts";
import { systemClock } from "../system/clock.ts";
import { run as runScript } from "../system/exec.ts";
import { createHeapRelief } from "../system/heap.ts";
import { describeLowLimit, readMemoryLimit } from "../system/memory-limit.ts";
import type { Script } from "../system/script.ts";
import { counted } from "../text/plural.ts";
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
  const holdWorld = { ...systemClock, log: log.named("presence/hold.ts"), succeeded };
  const hold = holdChain(options.masqChain, holdWorld, signal);
  const witness = createWitness(systemClock.sleep);
  const beforeChange = async () => monitoring?.sample();
  const aside = createAside(() => inbox.request("ruleset"));
  const turns = { sleep: systemClock.sleep, goesOn: aside.goesOn };
  const engines = createEngines(options, toPorts.ranges, { turns, witness, beforeChange, log }, signal);
  const turnsHere = options.watch ? turns : undefined;
  const clearing = createTurns<readonly Healing[] | undefined>(turnsHere);
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
  const rivals = createRivalWatch(
    {
      chain: options.masqChain,
      open: openNftables,
      others: engines.others,
      witness,
      now: systemClock.now,
      log: log.named("agent/rivals.ts"),
    },
    signal,
  );
  const sources = options.watch
    ? createSources(
        {
          configPath: options.configPath,
          driver: both(followed, rivals),
          inbox,
          witness,
          log: log.named("agent/sources.ts"),
        },
        signal,
      )
    : undefined;
  const relieve = createHeapRelief(trimMemory);
  const reconcile = afterwards(followed, { ...systemClock, hold, rivals, clearing, relieve, log });
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

/** What both know is known. */
function both(...drivers: readonly Pick<Driver, "knows" | "heard">[]): Pick<Driver, "knows" | "heard"> {
  return {
    knows: (generation) => drivers.every((one) => one.knows(generation)),
    heard: (generation) => {
      for (const one of drivers) one.heard(generation);
    },
  };
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

/** The command `run`: the agent itself. */
import { systemClock } from "../agent/clock.ts";
import { run as runScript } from "../agent/exec.ts";
import { warnOfLeftovers } from "../agent/leftovers.ts";
import { runLoop } from "../agent/loop.ts";
import { probe } from "../agent/probe.ts";
import { createReconciler, type Outcome } from "../agent/reconcile.ts";
import { chooseVariant } from "../agent/variant.ts";
import type { Script } from "../backend/backend.ts";
import { iptablesBackend } from "../backend/iptables.ts";
import { parsePorts } from "../core/ports.ts";
import { goQuote } from "../core/quote.ts";
import { createLogger } from "../observe/log.ts";
import { LogFileError } from "../observe/logfile.ts";
import { readConfig } from "../source/file.ts";
import {
  agentFlags,
  agentOptions,
  agentUsage,
  parseAgentFlags,
  renderEffectiveFlags,
  warnings,
} from "./options.ts";
import { VERSION } from "./version.ts";

/** Runs until `signal` is aborted. Returns an exit code if it could not start, undefined once it was aborted. */
export async function runAgent(args: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  const parsed = parseAgentFlags(args);
  if (parsed.kind !== "flags") {
    process.stderr.write(parsed.kind === "help" ? agentUsage() : `${parsed.message}\n${agentUsage()}`);
    return parsed.kind === "help" ? 0 : 2;
  }
  try {
    return await start(parsed, signal);
  } catch (error) {
    if (!(error instanceof LogFileError)) throw error;
    process.stderr.write(`log: exiting because of error: ${error.message}\n`);
    return 2;
  }
}

async function start(
  parsed: Extract<ReturnType<typeof parseAgentFlags>, { kind: "flags" }>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const options = agentOptions(parsed.values);
  const log = createLogger(options.log, "cli/run.ts");
  log.info(`ip-masq-agent version: ${VERSION}`);
  for (const line of renderEffectiveFlags(parsed.values)) log.info(line);
  const toPorts = parsePorts(options.toPorts);
  if (!toPorts.ok) {
    log.fatal(`Invalid --to-ports flag ${goQuote(options.toPorts)}: ${toPorts.message}`);
    return 1;
  }
  for (const warning of warnings(parsed)) log.warning(warning);

  const run = (script: Script) => runScript(script, signal);
  const variant = options.iptablesMode === "auto" ? await chooseVariant(run) : options.iptablesMode;
  const directoryAllowed = options.configPath !== agentFlags.config.initial;
  const backend = iptablesBackend(variant);
  const rules = { ...options, toPorts: toPorts.ranges };
  const world = {
    readConfig: () => readConfig(options.configPath, directoryAllowed),
    run,
    probe,
    now: systemClock.now,
    log: log.named("agent/reconcile.ts"),
  };
  const reconcile = afterFirstSuccess(createReconciler(backend, rules, world), () =>
    warnOfLeftovers(backend, rules, world),
  );
  await runLoop(reconcile, { watch: options.watch, random: Math.random }, systemClock, signal);
  return undefined;
}

/** `reconcile`, and `then` once after the first pass without an error: what can wait until rules are in force. */
function afterFirstSuccess(
  reconcile: () => Promise<Outcome>,
  then: () => Promise<void>,
): () => Promise<Outcome> {
  let done = false;
  return async () => {
    const outcome = await reconcile();
    if (!done && outcome.errors.length === 0) {
      done = true;
      await then();
    }
    return outcome;
  };
}

/** The passes of `run`: the chosen backend, the moves to another one, and the work after a pass. */
import { afterwards, CLEARING } from "../agent/afterwards.ts";
import { type Decision, decide, signsOf } from "../agent/choose.ts";
import type { TwoSources } from "../agent/config/two-sources.ts";
import { type Followed, followChoice } from "../agent/follow.ts";
import type { Healing } from "../agent/group.ts";
import { createOutputAddresses } from "../agent/output-addresses.ts";
import type { PassOutcome } from "../agent/reconcile.ts";
import { createRivalWatch } from "../agent/rivals.ts";
import { createSigns } from "../agent/signs.ts";
import { createSources, type Sources } from "../agent/sources.ts";
import type { Triggers } from "../agent/triggers.ts";
import { createAside, createTurns, type TurnsWorld } from "../agent/turns.ts";
import { createCommitLog } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import type { PortRange } from "../core/ports.ts";
import { enabledFamilies } from "../core/ruleset.ts";
import type { Logger } from "../log/log.ts";
import { trimMemory } from "../netlink/socket/addon.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { holdChain } from "../presence/hold.ts";
import { systemClock } from "../system/clock.ts";
import { run as runScript } from "../system/exec.ts";
import { createHeapRelief } from "../system/heap.ts";
import type { MemoryLimit } from "../system/memory-limit.ts";
import type { Script } from "../system/script.ts";
import { createForget, createSourceWarning, type Forget } from "./beside.ts";
import { createEngines } from "./engines.ts";
import type { AgentOptions } from "./options.ts";

interface PassesWorld {
  readonly triggers: Triggers;
  readonly memoryLimit: MemoryLimit | undefined;
  readonly toPorts: () => readonly PortRange[];
  /** Reads the counters, if they are served: before they restart at zero, and after that. */
  readonly sample: () => Promise<void>;
  /** With --config-map. */
  readonly configSources?: TwoSources;
  readonly log: Logger;
}

export interface Passes extends Pick<Followed, "engine"> {
  readonly reconcile: () => Promise<PassOutcome>;
  /** The triggers of passes; undefined without `watch`. */
  readonly sources: Sources | undefined;
  readonly forgotten: Forget["totals"];
  /** Waits until the work beside the passes has ended. */
  readonly over: () => Promise<void>;
}

/**
 * Chooses a backend, and holds the chain's name before it reads or writes anything; or returns what each backend lacks.
 */
export async function createPasses(
  options: AgentOptions,
  { triggers, memoryLimit, toPorts, sample, configSources, log }: PassesWorld,
  signal: AbortSignal,
): Promise<({ readonly ok: true } & Passes) | Extract<Decision, { ok: false }>> {
  const { watch, masqChain: chain, configPath } = options;
  const run = (script: Script) => runScript(script, signal);
  const choose = () => decide(options, { run, open: openNftables });
  const readSigns = createSigns(signsOf(options), openNftables);
  // Look first: signs that change during the choice then count as later.
  const signs = await readSigns();
  const choice = await choose();
  if (!choice.ok) return choice;
  log.with({ backend: choice.name }).info(`backend: ${choice.name} (${choice.why})`);
  const succeeded = () => watch && triggers.request("ruleset");
  const hold = holdChain(chain, { ...systemClock, log: log.named("presence/hold.ts"), succeeded }, signal);
  const { now, sleep } = systemClock;
  const commitLog = createCommitLog(sleep);
  const aside = createAside(() => triggers.request("ruleset"));
  const turns = { sleep, goesOn: aside.goesOn };
  const addresses = outputAddresses(options, log);
  const shared = { turns, commitLog, beforeChange: sample, memoryLimit, toPorts, addresses, log };
  const enginesWorld = { ...shared, ...(configSources && { readConfig: configSources.readConfig }) };
  const engines = createEngines(options, enginesWorld, signal);
  const clearing = createTurns<readonly Healing[] | undefined>(watch ? turns : undefined);
  const followed = followChoice(engines.build(choice), signs, {
    ...engines,
    readSigns,
    choose: chooseInTurn(choose, watch ? turns : undefined),
    // Counters restart at zero then, and we must see that before they have overtaken the old ones.
    moved: () => void sample(),
    isFree: () => !clearing.isUnderWay(CLEARING),
    now,
    log,
    watch,
  });
  const rivalsWorld = { ...engines, chain, open: openNftables, commitLog, now };
  const rivals = createRivalWatch({ ...rivalsWorld, log: log.named("agent/rivals.ts") }, signal);
  const sourcesWorld = {
    ...{ configPath, triggers, commitLog, knowsAddresses: addresses.knows },
    driver: both(followed, rivals),
    ...(configSources && { openApi: configSources.open }),
    log: log.named("agent/sources.ts"),
  };
  const relieve = createHeapRelief(trimMemory);
  const reconcile = afterwards(followed, { now, hold, rivals, clearing, relieve, log });
  const warnOfSources = createSourceWarning(log.named("cli/beside.ts"));
  const forget = createForget(options.forget === "unanswered", addresses, log, signal);
  return {
    ok: true,
    engine: followed.engine,
    reconcile: andThen(reconcile, forget.after, warnOfSources),
    forgotten: forget.totals,
    sources: watch ? createSources(sourcesWorld, signal) : undefined,
    async over() {
      await Promise.all([aside.over(), forget.over()]);
    },
  };
}

/** The node's addresses, which are read only where a configuration names some. */
function outputAddresses(options: AgentOptions, log: Logger) {
  return createOutputAddresses({
    read: async () => (await import("../system/node-addresses.ts")).readNodeAddresses(),
    names: async () => (await import("../system/node-addresses.ts")).readLinkNames(),
    families: enabledFamilies(options),
    log: log.named("agent/output-addresses.ts"),
  });
}

/** The pass, whose outcome these then get; it does not wait for them. */
function andThen(
  reconcile: () => Promise<PassOutcome>,
  ...hooks: readonly ((outcome: PassOutcome) => unknown)[]
): () => Promise<PassOutcome> {
  return async () => {
    const outcome = await reconcile();
    for (const hook of hooks) void hook(outcome);
    return outcome;
  };
}

/** Chooses for these signs; undefined while the tools that decide are at work. */
function chooseInTurn(choose: () => Promise<Decision>, world: TurnsWorld | undefined) {
  const turns = createTurns<{ readonly seen: string | undefined; readonly choice: Decision }>(world);
  return async (seen: string | undefined): Promise<Decision | undefined> => {
    const late = turns.collect().find((one) => one.seen === seen);
    const begin = async () => ({ seen, choice: await choose() });
    return (late ?? (await turns.take(`choosing for ${seen}`, begin)))?.choice;
  };
}

/** A generation is known if both know it. */
function both(...drivers: readonly Pick<Driver, "knows" | "heard">[]): Pick<Driver, "knows" | "heard"> {
  return {
    knows: (generation) => drivers.every((one) => one.knows(generation)),
    heard: (generation) => {
      for (const one of drivers) one.heard(generation);
    },
  };
}

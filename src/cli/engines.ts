/** Puts a chosen backend to work for `run`: what all choices share is made once, the rest for each. */
import type { Chosen } from "../agent/choose.ts";
import { systemClock } from "../agent/clock.ts";
import type { Driver } from "../agent/driver.ts";
import { run as runScript } from "../agent/exec.ts";
import type { Engine, Task } from "../agent/follow.ts";
import { cutAfter } from "../agent/grace.ts";
import { collectGarbage } from "../agent/heap.ts";
import { describePort } from "../agent/holders.ts";
import { inTurn } from "../agent/in-turn.ts";
import { iptablesDriver } from "../agent/iptables-driver.ts";
import { warnOfLeftovers } from "../agent/leftovers.ts";
import { readMemoryLimit, withinMemory } from "../agent/memory-limit.ts";
import { removeOthers, variantsWith } from "../agent/move.ts";
import { createSight } from "../agent/nat-sight.ts";
import { nftablesDriver } from "../agent/nftables-driver.ts";
import { probe } from "../agent/probe.ts";
import { createReconciler } from "../agent/reconcile.ts";
import type { TurnsWorld } from "../agent/turns.ts";
import type { Script } from "../backend/backend.ts";
import { type IptablesVariant, iptablesBackend } from "../backend/iptables.ts";
import type { PortRange } from "../core/ports.ts";
import { openNftables } from "../nftables/transport.ts";
import type { Logger } from "../observe/log.ts";
import { readConfig } from "../source/file.ts";
import type { Span, Witness } from "../source/witness.ts";
import { type AgentOptions, agentFlags } from "./options.ts";

interface EnginesWorld {
  readonly turns: TurnsWorld;
  readonly witness: Witness;
  readonly beforeChange: () => Promise<void>;
  readonly log: Logger;
}

export interface Engines {
  /** The drivers whose rules an agent with this choice does not have. */
  readonly others: (choice: Chosen) => Promise<readonly Driver[]>;
  readonly build: (choice: Chosen) => Engine;
  /** What waits until an engine's rules are in force: to remove what is left of others, and to warn of what stays. */
  readonly tasks: (engine: Engine) => Task[];
}

export function createEngines(
  flags: AgentOptions,
  toPorts: readonly PortRange[],
  { turns, witness, beforeChange, log }: EnginesWorld,
  signal: AbortSignal,
): Engines {
  const cut = cutAfter(signal);
  const sight = flags.watch ? createSight(flags.masqChain, openNftables, cut) : undefined;
  const { claim } = witness;
  const memoryLimit = readMemoryLimit();
  const tools = {
    run: (script: Script) => runScript(script, signal),
    finish: (script: Script) => runScript(script, cut),
    probe,
    log: log.named("agent/iptables-driver.ts"),
    claim,
    said: new Set<string>(),
    inTurn: <T>(work: () => Promise<T>) => inTurn((ms) => systemClock.sleep(ms, signal), work),
    relieve: collectGarbage,
    ...(sight && { sight }),
  };
  const ownerOf = (port: number) => describePort("/proc", port);
  const between = (span: Span) => witness.between(span, signal);
  const iptables = (which: IptablesVariant) =>
    iptablesDriver(
      withinMemory(iptablesBackend(which, flags.ipsetThreshold), memoryLimit),
      flags.masqChain,
      tools,
    );
  const nftables = () =>
    nftablesDriver(flags.masqChain, signal, { now: systemClock.now, between, claim, ownerOf, cut });
  const directoryAllowed = flags.configPath !== agentFlags.config.initial;
  const world = {
    readConfig: () => readConfig(flags.configPath, directoryAllowed),
    now: systemClock.now,
    log: log.named("agent/reconcile.ts"),
    random: Math.random,
    signal,
    between,
    beforeChange,
    turns,
  };
  const optionsOf = ({ name }: Chosen) => {
    const setsAbove = name === "nftables" ? 0 : flags.ipsetThreshold || Number.POSITIVE_INFINITY;
    return { ...flags, toPorts, setsAbove };
  };
  const others = async ({ name, variant }: Chosen): Promise<readonly Driver[]> => {
    if (name === "iptables" && flags.iptablesMode !== "auto") return [nftables()];
    const variants = await variantsWith(flags.masqChain, openNftables);
    const rest = variants.filter((which) => name === "nftables" || which !== variant).map(iptables);
    return name === "nftables" ? rest : [nftables(), ...rest];
  };
  return {
    others,
    build(choice) {
      const driver = choice.name === "nftables" ? nftables() : iptables(choice.variant);
      return { choice, driver, reconcile: createReconciler(driver, optionsOf(choice), world) };
    },
    tasks: ({ choice, driver }) => [
      () => removeOthers(() => others(choice), log),
      driver.tidy,
      async () => {
        if (choice.name === "nftables") return;
        await warnOfLeftovers(iptablesBackend(choice.variant), optionsOf(choice), tools);
      },
    ],
  };
}

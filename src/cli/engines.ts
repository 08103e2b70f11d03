/** Puts a chosen backend to work for `run`: what all choices share is made once, the rest for each. */

import type { Chosen } from "../agent/choose.ts";
import { readConfig } from "../agent/config/file.ts";
import type { Engine, Task } from "../agent/follow.ts";
import { warnOfLeftovers } from "../agent/leftovers.ts";
import { removeOthers, variantsWith } from "../agent/move.ts";
import { createReconciler } from "../agent/reconcile.ts";
import type { TurnsWorld } from "../agent/turns.ts";
import type { Span, Witness } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import { iptablesDriver } from "../iptables/driver.ts";
import { createSight } from "../iptables/netlink-view.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import { probe } from "../iptables/probe.ts";
import type { IptablesVariant } from "../iptables/tools.ts";
import { withinMemory } from "../iptables/within-memory.ts";
import type { Logger } from "../log/log.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { nftablesDriver } from "../nftables/driver.ts";
import { describePort } from "../presence/holders.ts";
import { inTurn } from "../presence/in-turn.ts";
import { systemClock } from "../system/clock.ts";
import { run as runScript } from "../system/exec.ts";
import { cutAfter } from "../system/grace.ts";
import { collectGarbage } from "../system/heap.ts";
import type { MemoryLimit } from "../system/memory-limit.ts";
import type { Script } from "../system/script.ts";
import { type AgentOptions, agentFlags, setsAbove } from "./options.ts";

interface EnginesWorld {
  readonly turns: TurnsWorld;
  readonly witness: Witness;
  readonly beforeChange: () => Promise<void>;
  readonly memoryLimit: MemoryLimit | undefined;
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
  { turns, witness, beforeChange, memoryLimit, log }: EnginesWorld,
  signal: AbortSignal,
): Engines {
  const cut = cutAfter(signal);
  const sight = flags.watch ? createSight(flags.masqChain, openNftables, cut) : undefined;
  const { claim } = witness;
  const tools = {
    run: (script: Script) => runScript(script, signal),
    finish: (script: Script) => runScript(script, cut),
    probe,
    log: log.named("iptables/driver.ts"),
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
      withinMemory(iptablesPlanner(which, flags.ipsetThreshold), memoryLimit),
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
  const optionsOf = ({ name }: Chosen) => ({ ...flags, setsAbove: setsAbove(name, flags.ipsetThreshold) });
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
        await warnOfLeftovers(iptablesPlanner(choice.variant), optionsOf(choice), tools);
      },
    ],
  };
}

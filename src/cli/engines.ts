/** Wires a chosen backend for `run`: the parts that all choices share are made once, the rest for each. */

import type { Chosen } from "../agent/choose.ts";
import { readConfig } from "../agent/config/file.ts";
import type { Engine, Task } from "../agent/follow.ts";
import { removeOthers } from "../agent/move.ts";
import type { OutputAddresses } from "../agent/output-addresses.ts";
import { createReconciler } from "../agent/reconcile.ts";
import type { TurnsWorld } from "../agent/turns.ts";
import type { CommitLog, Span } from "../backend/commit-log.ts";
import type { Driver, Traces } from "../backend/driver.ts";
import type { ConfigText } from "../core/config.ts";
import type { PortRange } from "../core/ports.ts";
import { createNetlinkView } from "../iptables/netlink-view.ts";
import { probe } from "../iptables/probe.ts";
import type { Logger } from "../log/log.ts";
import { openNftables } from "../netlink/socket/transport.ts";
import { describePort } from "../presence/holders.ts";
import { inTurn } from "../presence/in-turn.ts";
import { systemClock } from "../system/clock.ts";
import { run as runScript } from "../system/exec.ts";
import { cutAfter } from "../system/grace.ts";
import { collectGarbage } from "../system/heap.ts";
import type { MemoryLimit } from "../system/memory-limit.ts";
import type { DriverWorld } from "./backend.ts";
import { BACKENDS, otherDrivers, otherTraces } from "./backends.ts";
import { type AgentOptions, readsDirectoryAt } from "./options.ts";

interface EnginesWorld {
  readonly turns: TurnsWorld;
  readonly commitLog: CommitLog;
  readonly beforeChange: () => Promise<void>;
  readonly memoryLimit: MemoryLimit | undefined;
  readonly toPorts: () => readonly PortRange[];
  readonly addresses: OutputAddresses;
  /** Reads the configuration; by default from the file. */
  readonly readConfig?: () => ConfigText;
  readonly log: Logger;
}

export interface Engines {
  /** The drivers whose rules an agent with this choice does not have. */
  readonly others: (choice: Chosen) => Promise<readonly Driver[]>;
  /** The signs of such rules. */
  readonly traces: (choice: Chosen) => readonly Traces[];
  readonly build: (choice: Chosen) => Engine;
  /**
   * Tasks that wait until an engine's rules are in force: removing leftovers of other backends, and warnings about the
   * rest.
   */
  readonly tasks: (engine: Engine) => Task[];
}

/** The inputs of all drivers of an agent with these flags. */
function driverWorld(
  flags: AgentOptions,
  { commitLog, memoryLimit, log }: EnginesWorld,
  signal: AbortSignal,
): DriverWorld {
  const cut = cutAfter(signal);
  const view = flags.watch ? createNetlinkView(flags.masqChain, openNftables, cut) : undefined;
  const { claim, between } = commitLog;
  return {
    flags,
    tools: {
      run: (script) => runScript(script, signal),
      finish: (script) => runScript(script, cut),
      probe,
      log: log.named("iptables/driver.ts"),
      claim,
      said: new Set<string>(),
      inTurn: (work) => inTurn((ms) => systemClock.sleep(ms, signal), work),
      relieve: collectGarbage,
      ...(view && { view }),
    },
    nftables: {
      now: systemClock.now,
      between: (span) => between(span, signal),
      claim,
      ownerOf: (port) => describePort("/proc", port),
      cut,
    },
    memoryLimit,
    open: openNftables,
    signal,
  };
}

export function createEngines(flags: AgentOptions, world: EnginesWorld, signal: AbortSignal): Engines {
  const { turns, commitLog, beforeChange, log } = world;
  const drivers = driverWorld(flags, world, signal);
  const passWorld = {
    readConfig: world.readConfig ?? (() => readConfig(flags.configPath, readsDirectoryAt(flags.configPath))),
    now: systemClock.now,
    log: log.named("agent/reconcile.ts"),
    random: Math.random,
    signal,
    between: (span: Span) => commitLog.between(span, signal),
    beforeChange,
    turns,
    toPorts: world.toPorts,
    addresses: world.addresses,
  };
  const optionsOf = ({ name }: Chosen) => ({
    ...flags,
    setsAbove: BACKENDS[name].setsAbove(flags.ipsetThreshold),
  });
  const others = (choice: Chosen) => otherDrivers(choice, drivers);
  return {
    others,
    traces: ({ name }) => otherTraces(name),
    build(choice) {
      const driver = BACKENDS[choice.name].createDriver(choice.variant, drivers);
      return { choice, driver, reconcile: createReconciler(driver, optionsOf(choice), passWorld) };
    },
    tasks: ({ choice, driver }) => [
      () => removeOthers(() => others(choice), log),
      driver.removeStaleSet,
      () => BACKENDS[choice.name].warn(choice.variant, optionsOf(choice), drivers),
    ],
  };
}

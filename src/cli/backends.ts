/**
 * The backends, one row each. No other code knows their names: the rest of the program uses a row. A command loads the
 * functions that only commands use, so that starting `run` does not pay for them.
 */

import type { Chosen } from "../agent/choose.ts";
import { warnOfLeftovers } from "../agent/leftovers.ts";
import type { BackendName, Driver, Traces } from "../backend/driver.ts";
import { iptablesDriver } from "../iptables/driver.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import { chainTraces, variantsWith } from "../iptables/traces.ts";
import { withinMemory } from "../iptables/within-memory.ts";
import { nftablesDriver } from "../nftables/driver.ts";
import { tableTraces } from "../nftables/table-reader.ts";
import type { Backend, BackendCommands, DriverWorld } from "./backend.ts";

/** In the order in which commands report. */
export const BACKENDS: Readonly<Record<BackendName, Backend>> = {
  iptables: {
    createDriver: (variant, { flags, tools, memoryLimit }) =>
      iptablesDriver(
        withinMemory(iptablesPlanner(variant, flags.ipsetThreshold), memoryLimit),
        flags.masqChain,
        tools,
      ),
    setsAbove: (ipsetThreshold) => ipsetThreshold || Number.POSITIVE_INFINITY,
    traces: chainTraces,
    async otherVariants({ isOwn, variant }, { flags, open }) {
      if (isOwn && flags.iptablesMode !== "auto") return [];
      return (await variantsWith(flags.masqChain, open)).filter((one) => !isOwn || one !== variant);
    },
    warn: (variant, options, { tools }) => warnOfLeftovers(iptablesPlanner(variant), options, tools),
    commands: async () => (await import("./iptables.ts")).iptablesCommands,
  },
  nftables: {
    createDriver: (_variant, { flags, nftables, signal }) =>
      nftablesDriver(flags.masqChain, signal, nftables),
    setsAbove: () => 0,
    traces: tableTraces,
    otherVariants: async ({ isOwn }) => (isOwn ? [] : ["path"]),
    // Anything foreign in our table is drift.
    warn: async () => {},
    commands: async () => (await import("./nftables.ts")).nftablesCommands,
  },
};

const NAMES = Object.keys(BACKENDS) as readonly BackendName[];

/** The backend of a flag. `auto` means iptables where nothing looks at the machine. */
export function backendOf(flag: BackendName | "auto"): Backend {
  return BACKENDS[flag === "auto" ? "iptables" : flag];
}

/** The functions of all backends for commands. */
export function allCommands(): Promise<readonly BackendCommands[]> {
  return Promise.all(NAMES.map((name) => BACKENDS[name].commands()));
}

/** How rules of the other backends show. */
export function otherTraces(name: BackendName): readonly Traces[] {
  return NAMES.filter((one) => one !== name).map((one) => BACKENDS[one].traces);
}

/** Drivers for all rules that an agent with this choice does not have. */
export async function otherDrivers(choice: Chosen, world: DriverWorld): Promise<readonly Driver[]> {
  const drivers: Driver[] = [];
  // First the drivers without a tool, which may fail.
  for (const name of NAMES.toReversed()) {
    const { otherVariants, createDriver } = BACKENDS[name];
    const variants = await otherVariants({ ...choice, isOwn: name === choice.name }, world);
    drivers.push(...variants.map((variant) => createDriver(variant, world)));
  }
  return drivers;
}

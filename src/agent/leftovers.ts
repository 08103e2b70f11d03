/**
 * Warns of rules that an agent with other options has left: another `--masq-chain`, or IPv6 when it was on.
 * Like the Go program we let them stand; unlike it we say so.
 */

import type { Backend } from "../backend/step.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import { enabledFamilies, type Options } from "../core/ruleset.ts";
import type { ToolWorld } from "../iptables/tools.ts";
import { CommandError } from "../system/command-error.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";

/** Looks once, in all families. Nothing that goes wrong here matters to the rules, so it is said only at `--v=2`. */
export async function warnOfLeftovers(backend: Backend, options: Options, world: ToolWorld): Promise<void> {
  const enabled = enabledFamilies(options);
  for (const family of FAMILIES) {
    const own = enabled.includes(family) ? options.masqChain : undefined;
    for (const chain of await leftoverChains(backend, family, own, world)) {
      const why = own === undefined ? "--enable-ipv6 is off" : `--masq-chain is ${own}`;
      world.log
        .with({ family, backend: "iptables" })
        .warning(
          `${family}: chain ${chain} and a jump to it still stand from an earlier agent, though ${why}: they go on deciding until they are removed`,
        );
    }
  }
}

async function leftoverChains(
  backend: Backend,
  family: Family,
  own: string | undefined,
  { probe, run, log }: ToolWorld,
): Promise<readonly string[]> {
  try {
    const capabilities = await probe(backend.tools(family), run);
    if (capabilities.variant === "legacy" && !hasLegacyNat(family)) return [];
    return backend.parseLeftovers(own, await run(backend.inspectLeftovers(family, capabilities)));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (log.v(2)) log.info(`${family}: cannot look for what earlier agents left: ${error.message}`, 2);
    return [];
  }
}

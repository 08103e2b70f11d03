/**
 * Warns of rules that an agent with other options has left: another `--masq-chain`, or IPv6 when it was on.
 * Like the Go program we let them stand; unlike it we say so.
 */

import { FAMILIES, type Family } from "../core/cidr.ts";
import { enabledFamilies, type Options } from "../core/ruleset.ts";
import type { IptablesPlanner } from "../iptables/planner.ts";
import { listPostrouting } from "../iptables/remove.ts";
import type { ToolWorld } from "../iptables/world.ts";
import { CommandError } from "../system/command-error.ts";

/** Looks once, in all families. Nothing that goes wrong here matters to the rules, so it is said only at `--v=2`. */
export async function warnOfLeftovers(
  planner: IptablesPlanner,
  options: Options,
  world: ToolWorld,
): Promise<void> {
  const enabled = enabledFamilies(options);
  for (const family of FAMILIES) {
    const own = enabled.includes(family) ? options.masqChain : undefined;
    for (const chain of await leftoverChains(planner, family, own, world)) {
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
  planner: IptablesPlanner,
  family: Family,
  own: string | undefined,
  world: ToolWorld,
): Promise<readonly string[]> {
  const { log } = world;
  try {
    const listed = await listPostrouting(planner, family, world);
    return listed === undefined ? [] : planner.parseLeftovers(own, listed.postrouting);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (log.v(2)) log.info(`${family}: cannot look for what earlier agents left: ${error.message}`, 2);
    return [];
  }
}

/**
 * Warns about rules that an agent with different options has left: another `--masq-chain`, or IPv6 when it was on.
 * Like the Go program we leave them; unlike it we say so.
 */

import { FAMILIES, type Family } from "../core/cidr.ts";
import { enabledFamilies, type Options } from "../core/ruleset.ts";
import type { IptablesPlanner } from "../iptables/planner.ts";
import { listPostrouting } from "../iptables/remove.ts";
import type { ToolWorld } from "../iptables/world.ts";
import { CommandError } from "../system/command-error.ts";

/** Searches once, in all families. A failure here does not affect our rules, so it shows only at `--v=2`. */
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
          `${family}: chain ${chain} and a jump to it remain from an earlier agent, although ${why}: they stay active until you remove them`,
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
    if (log.v(2)) log.info(`${family}: cannot look for leftovers of earlier agents: ${error.message}`, 2);
    return [];
  }
}

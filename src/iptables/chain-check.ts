/** Checks that the chain of the configured name is ours to write. */

import type { Run } from "../system/script.ts";
import { isBuiltIn, renderForeign } from "./chain-owner.ts";
import { ownSets } from "./ipset.ts";
import { countSetUses, parseSetUses } from "./ipset-scripts.ts";
import type { Capabilities, IptablesPlanner, Observed, Target } from "./planner.ts";
import { looksUp } from "./rule.ts";

/** Why not: it has only foreign rules, and no jump with our comment leads to it. A jump that looks like ours makes it ours, whatever it contains. */
export async function whyNotOurs(
  planner: IptablesPlanner,
  { chain, family }: Target,
  capabilities: Capabilities,
  observed: Observed,
  run: Run,
): Promise<string | undefined> {
  if (!planner.isOthers(chain, observed)) return whyNotOurSets({ chain, family }, observed, run);
  const foreign = renderForeign(chain, observed.rules?.length ?? 0, planner.tools(family).command);
  if (isBuiltIn(chain)) return foreign;
  if (observed.jump) return undefined;
  const listing = await run(planner.inspectLeftovers(family, capabilities));
  return planner.hasJumpLike(chain, listing) ? undefined : foreign;
}

/** A set that rules look up, but none of our chain: replacing its elements would change the effect of these rules. */
async function whyNotOurSets(
  target: Target,
  { rules = [], sets = {} }: Observed,
  run: Run,
): Promise<string | undefined> {
  for (const set of ownSets(target)) {
    const { name, role } = set;
    if (sets[role] === undefined || rules.some((rule) => looksUp(rule, name))) continue;
    const uses = parseSetUses(await run(countSetUses(set)));
    if (uses > 0)
      return `set ${name} is not the agent's: other rules use it (${uses} times). The agent does not touch it: give --masq-chain another name, or remove these rules`;
  }
  return undefined;
}

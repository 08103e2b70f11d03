/** Checks that the chain of the configured name is ours to write. */

import type { Run } from "../system/script.ts";
import { isBuiltIn, renderForeign } from "./chain-owner.ts";
import { setName } from "./ipset.ts";
import { countSetUses, parseSetUses } from "./ipset-scripts.ts";
import type { Capabilities, IptablesPlanner, Observed, Target } from "./planner.ts";

/** Why not: it has only foreign rules, and no jump with our comment leads to it. A jump that looks like ours makes it ours, whatever it contains. */
export async function whyNotOurs(
  planner: IptablesPlanner,
  { chain, family }: Target,
  capabilities: Capabilities,
  observed: Observed,
  run: Run,
): Promise<string | undefined> {
  if (!planner.isOthers(chain, observed)) return whyNotOurSet({ chain, family }, observed, run);
  const foreign = renderForeign(chain, observed.rules?.length ?? 0, planner.tools(family).command);
  if (isBuiltIn(chain)) return foreign;
  if (observed.jump) return undefined;
  const listing = await run(planner.inspectLeftovers(family, capabilities));
  return planner.hasJumpLike(chain, listing) ? undefined : foreign;
}

/** A set that rules look up, but none of our chain: replacing its elements would change the effect of these rules. */
async function whyNotOurSet(
  target: Target,
  { rules = [], set }: Observed,
  run: Run,
): Promise<string | undefined> {
  const name = setName(target);
  if (set === undefined || rules.some((rule) => rule.includes(`--match-set ${name} `))) return undefined;
  const uses = parseSetUses(await run(countSetUses(target)));
  if (uses === 0) return undefined;
  return `set ${name} is not the agent's: other rules use it (${uses} times). The agent does not touch it: give --masq-chain another name, or remove these rules`;
}

/** Limits chains to the memory that this process may take. */

import { sourceBlocks } from "../core/sources.ts";
import { ENOUGH_BYTES, type MemoryLimit, MIB } from "../system/memory-limit.ts";
import type { IptablesPlanner } from "./planner.ts";

/**
 * The most memory that a rule takes while the whole chain is replaced: in the agent, in iptables-nft-restore at the same time, and
 * in the kernel for the old and the new rule. Measured with 50,000: 3.3 KiB.
 */
const RULE_BYTES = 4 * 1024;

/** The same planner, which rejects chains so long that the kernel would kill the agent while it replaces them. */
export function withinMemory(planner: IptablesPlanner, limit: MemoryLimit | undefined): IptablesPlanner {
  if (limit === undefined) return planner;
  return {
    ...planner,
    plan(ruleset, capabilities, observed) {
      const plan = planner.plan(ruleset, capabilities, observed);
      const sets = capabilities.ipset === true ? planner.wantedSets(ruleset) : [];
      const inChain =
        (sets.includes("destinations") ? 0 : ruleset.entries.length) +
        (sets.includes("sources") ? 0 : sourceBlocks(ruleset.family, ruleset.scope).excepted.length);
      const needed = ENOUGH_BYTES + inChain * RULE_BYTES;
      const fits = capabilities.variant !== "nf_tables" || needed <= limit.bytes;
      if (fits || plan.steps.length === 0 || plan.refusal !== undefined) return plan;
      return { drift: [], steps: [], refusal: describeLongChain(inChain, needed, limit) };
    },
  };
}

function describeLongChain(entries: number, needed: number, { bytes, path }: MemoryLimit): string {
  const size = (all: number) => `${Math.ceil(all / MIB)} MiB`;
  return `${entries} CIDRs as a chain may take ${size(needed)} of memory, and the limit is ${size(bytes)} (${path}): use a set (--ipset-threshold, with ipset), use --backend=nftables, or raise resources.limits.memory`;
}

/** Our chains and sets of iptables, in both variants and both families, for the command `cleanup`. */

import type { CleanupOptions, CleanupWorld, Find, Finds, Search } from "../backend/cleanup.ts";
import { FAMILIES, type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { ifFound, NetlinkUnavailable } from "../netlink/errors.ts";
import { chain as chainQuery } from "../netlink/query.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { Script } from "../system/script.ts";
import { isBuiltIn, rulesOfOthers } from "./chain-owner.ts";
import { type OwnSet, ownSets } from "./ipset.ts";
import { LIST_SETS, parseSetNames } from "./ipset-scripts.ts";
import { iptablesPlanner } from "./plan.ts";
import type { Target } from "./planner.ts";
import { probe } from "./probe.ts";
import { blockers, type FoundChain, findChain, type ProbedTool, removalOf } from "./remove.ts";
import { findTools, isNotInstalled, type NamedVariant, toolsOf } from "./tools.ts";

interface Looking {
  readonly options: CleanupOptions;
  readonly world: CleanupWorld;
  readonly finds: Find[];
  readonly warnings: string[];
  /** Sets that may exist, by their names. */
  readonly sets: Map<string, OwnSet>;
}

/** Searches each variant for which the kernel has a table. */
export async function findChains({ options, world, nftables }: Search): Promise<Finds> {
  const looking: Looking = { options, world, finds: [], warnings: [], sets: new Map() };
  for (const family of FAMILIES) noteSets(looking, { family, chain: options.masqChain });
  for (const family of FAMILIES) {
    if (await hasNat(nftables, family, options)) await lookInVariant(looking, "nft", family);
    if (hasLegacyNat(family)) await lookInVariant(looking, "legacy", family);
  }
  await lookForSets(looking);
  return looking;
}

/** Whether iptables-nft has something to list. An agent that was killed early leaves a chain without POSTROUTING. */
async function hasNat(
  nftables: Search["nftables"],
  family: Family,
  { masqChain }: CleanupOptions,
): Promise<boolean> {
  if (nftables === undefined) return false;
  if (nftables instanceof NetlinkUnavailable) return true;
  for (const chain of ["POSTROUTING", masqChain]) {
    const query = chainQuery({ family: NFT_FAMILIES[family], table: "nat", chain });
    if ((await ifFound(nftables.read(query))) !== undefined) return true;
  }
  return false;
}

async function lookInVariant(looking: Looking, variant: NamedVariant, family: Family): Promise<void> {
  const { options, world, warnings } = looking;
  const tool = await findTool(variant, family, world);
  if (tool === undefined) {
    const { command } = toolsOf(variant, family);
    warnings.push(
      `${family}: ${command} is not installed: chain ${options.masqChain} stays if it exists (Debian: apt-get install iptables)`,
    );
    return;
  }
  const { planner, capabilities } = tool;
  const postrouting = await world.run(planner.inspectLeftovers(family, capabilities));
  const others = planner.parseLeftovers(options.masqChain, postrouting);
  const look = { run: world.run, force: options.force };
  for (const chain of [options.masqChain, ...(options.allChains ? others : [])])
    note(looking, await findChain(tool, { family, chain }, postrouting, look));
  if (options.allChains) return;
  for (const chain of others)
    warnings.push(
      `${family}: chain ${chain} of another agent stays (${planner.tools(family).command}): --masq-chain=${chain} or --all-chains removes it`,
    );
}

/** Undefined if no tool of the variant is installed. */
async function findTool(
  variant: NamedVariant,
  family: Family,
  { run }: CleanupWorld,
): Promise<ProbedTool | undefined> {
  try {
    const { mode, found } = await findTools(variant, family, (tools) => probe(tools, run));
    return { planner: iptablesPlanner(mode), capabilities: found };
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    return undefined;
  }
}

/** The chain may have these sets. */
function noteSets({ sets }: Looking, target: Target): void {
  for (const set of ownSets(target)) sets.set(set.name, set);
}

function note(looking: Looking, found: FoundChain): void {
  const { world, finds, warnings } = looking;
  const { tool, target, observed, jumps, foreignRules } = found;
  const { chain, family } = target;
  const { command } = tool.planner.tools(family);
  const stays = foreignRules !== undefined;
  if (stays) warnings.push(`${family}: ${renderStay(chain, foreignRules)} (${command})`);
  if (observed.rules === undefined && jumps === 0) return;
  noteSets(looking, target);
  warnings.push(...blockers(found).map((why) => `${family}: ${why}`));
  const toIt = jumps === 1 ? "the jump" : `${jumps} jumps`;
  const what = stays
    ? `${toIt} to chain ${chain}`
    : `chain ${chain}${jumps === 0 ? "" : ` and ${toIt} to it`}`;
  finds.push(findOf(`${family}: ${what} (${command})`, removalOf(found), world));
}

function renderStay(chain: string, rules: number): string {
  if (isBuiltIn(chain)) return `chain ${chain} stays: it is one of the kernel's own`;
  return `chain ${chain} stays: it has ${rulesOfOthers(rules)}; --force removes it`;
}

/** Sets go after the chains of all variants, which may look them up. Half-filled sets count as well. */
async function lookForSets({ world, finds, warnings, sets }: Looking): Promise<void> {
  const names = await setNames(world);
  const planner = iptablesPlanner("path");
  for (const set of sets.values()) {
    const { name, fresh, family } = set;
    if (!names.includes(name) && !names.includes(fresh)) continue;
    const found = await world.run(planner.inspectSet(set));
    if (found.exitCode === 0 && planner.parseSet(found) === undefined)
      warnings.push(`${family}: set ${name} stays: its type is different from an agent's (ipset)`);
    else finds.push(findOf(`${family}: set ${name} (ipset)`, planner.discardSet(set), world));
  }
}

/** Without the tool there can be sets only if it was removed since. */
async function setNames({ run }: CleanupWorld): Promise<readonly string[]> {
  try {
    return parseSetNames(await run(LIST_SETS));
  } catch (error) {
    if (isNotInstalled(error)) return [];
    throw error;
  }
}

function findOf(place: string, scripts: readonly Script[], { run }: CleanupWorld): Find {
  return {
    place,
    remove: async () => {
      for (const script of scripts) await run(script);
    },
  };
}

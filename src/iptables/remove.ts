/**
 * Finds the objects of the iptables backend, and the scripts that remove them: chain, jumps and sets, with one tool of one family.
 * The agent's moves between backends, its warnings about leftovers and the command `cleanup` all use this.
 *
 * Ours are the chain of the configured name, the jumps with our comment that lead to it, and its sets. The search changes nothing.
 */

import { quote } from "../backend/shell.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import type { Logger } from "../log/log.ts";
import { CommandError } from "../system/command-error.ts";
import { runUntilNo } from "../system/exec.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { Answer, Run, Script } from "../system/script.ts";
import { isBuiltIn, rulesOfOthers } from "./chain-owner.ts";
import { ownSets, type SetRole } from "./ipset.ts";
import { LIST_SETS, parseSetNames } from "./ipset-scripts.ts";
import type { Capabilities, IptablesPlanner, Observed, Target } from "./planner.ts";
import { isNotInstalled } from "./tools.ts";
import type { ToolWorld } from "./world.ts";

/** A family's tool, and its capabilities. */
export interface ProbedTool {
  readonly planner: IptablesPlanner;
  readonly capabilities: Capabilities;
}

/** Our objects in a family. */
export interface FoundChain {
  readonly tool: ProbedTool;
  readonly target: Target;
  /** Without rules where there is no chain, or it is foreign. */
  readonly observed: Observed;
  /** The number of our jumps to it. */
  readonly jumps: number;
  /** The foreign rules of POSTROUTING that lead to it, in words. */
  readonly foreignJumps: readonly (readonly string[])[];
  /** The number of rules of a foreign chain of that name, which stays. */
  readonly foreignRules: number | undefined;
}

/** Reads a chain; `postrouting` is the listing that shows the jumps. They can be forged, so only the chain's own rules tell whose it is. */
export async function findChain(
  tool: ProbedTool,
  target: Target,
  postrouting: Answer,
  { run, force = false }: { readonly run: Run; readonly force?: boolean },
): Promise<FoundChain> {
  const { planner, capabilities } = tool;
  const { chain } = target;
  const ruleset = { ...target, entries: [], masquerade: { randomFully: false, toPorts: [] } };
  const listing = await runUntilNo(planner.inspection(ruleset, capabilities).slice(0, 1), run);
  const found = planner.parse(ruleset, capabilities, listing);
  const stays = planner.isOthers(chain, found) && (!force || isBuiltIn(chain));
  return {
    tool,
    target,
    observed: stays ? { ...found, rules: undefined } : found,
    jumps: planner.countJumps(chain, postrouting),
    foreignJumps: planner.foreignJumps(chain, postrouting),
    foreignRules: stays ? (found.rules?.length ?? 0) : undefined,
  };
}

/** The scripts that remove it, and its sets that exist. */
export function removalOf(
  { tool, target, observed, jumps }: FoundChain,
  sets: NonNullable<Observed["sets"]> = {},
): readonly Script[] {
  return tool.planner.removal(target, tool.capabilities, { ...observed, sets }, jumps);
}

/** Why the chain cannot go yet, each with the command that helps: a start script's jump, as GKE's, is not the agent's to remove. */
export function blockers({ tool, target, observed, foreignJumps }: FoundChain): readonly string[] {
  if (observed.rules === undefined) return [];
  const { command } = tool.planner.tools(target.family);
  return foreignJumps.map(([, ...rule]) => {
    const remedy = [command, "-t", "nat", "-D", ...rule].map(quote).join(" ");
    return `a foreign rule leads to chain ${target.chain}, so the kernel keeps the chain: remove that rule first: ${remedy}`;
  });
}

/** The tool of a family with its listing of POSTROUTING; undefined where there is no table to list. Throws a `CommandError`. */
export async function listPostrouting(
  planner: IptablesPlanner,
  family: Family,
  { probe, run }: Pick<ToolWorld, "probe" | "run">,
): Promise<{ readonly tool: ProbedTool; readonly postrouting: Answer } | undefined> {
  const capabilities = await probe(planner.tools(family), run);
  if (capabilities.variant === "legacy" && !hasLegacyNat(family)) return undefined;
  const postrouting = await run(planner.inspectLeftovers(family, capabilities));
  return { tool: { planner, capabilities }, postrouting };
}

/** Removes all our objects in all families, and returns their places. */
export async function removeAll(
  planner: IptablesPlanner,
  chain: string,
  world: ToolWorld,
): Promise<string[]> {
  const { run, finish = run } = world;
  const removed: string[] = [];
  for (const family of FAMILIES) {
    const scripts = await removalIn(planner, { chain, family }, world);
    for (const script of scripts) await finish(script);
    if (scripts.length > 0) removed.push(`${family}: chain ${chain} (${planner.tools(family).command})`);
  }
  return removed;
}

async function removalIn(
  planner: IptablesPlanner,
  target: Target,
  world: ToolWorld,
): Promise<readonly Script[]> {
  const { chain, family } = target;
  try {
    const listed = await listPostrouting(planner, family, world);
    if (listed === undefined) return [];
    const found = await findChain(listed.tool, target, listed.postrouting, world);
    // A wrong --masq-chain: nothing there is ours.
    if (found.foreignRules !== undefined && found.jumps === 0) return [];
    if (found.foreignRules !== undefined)
      warnOnce(world, family, `chain ${chain} stays: it has ${rulesOfOthers(found.foreignRules)}`);
    for (const why of blockers(found)) warnOnce(world, family, why);
    return removalOf(found, await leftSets(planner, target, world.run));
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    const { command } = planner.tools(family);
    const what = `${command} is not installed, so chain ${chain} stays if it exists: ${error.message}`;
    warnOnce(world, family, what);
    return [];
  }
}

/** Removes the sets that an agent with longer lists, or a lower threshold, has left; `known` are in use. */
export async function removeLeftSets(
  planner: IptablesPlanner,
  target: Target,
  known: ReadonlySet<string>,
  { run, log }: ToolWorld,
): Promise<void> {
  const left = await leftSets(planner, target, run);
  for (const set of ownSets(target)) {
    if (known.has(set.name) || left[set.role] === undefined) continue;
    for (const script of planner.discardSet(set)) await run(script);
    about(log, target.family).info(`${target.family}: removed ${WHICH[set.role]}`);
  }
}

const WHICH: Readonly<Record<SetRole, string>> = {
  destinations: "a set that the shorter list does not need any more",
  sources: "a set of sources that no rule needs any more",
};

/** Warns once, since each resync interval searches again. */
function warnOnce({ log, said }: ToolWorld, family: Family, what: string): void {
  const line = `${family}: ${what}`;
  if (said?.has(line)) return;
  said?.add(line);
  about(log, family).warning(line);
}

function about(log: Logger, family: Family): Logger {
  return log.with({ family, backend: "iptables" });
}

/** The elements of our sets that exist. Without the tool, there is no set to remove. */
async function leftSets(
  planner: IptablesPlanner,
  target: Target,
  run: Run,
): Promise<NonNullable<Observed["sets"]>> {
  const left: { [role in SetRole]?: readonly string[] } = {};
  try {
    const names = parseSetNames(await run(LIST_SETS));
    for (const set of ownSets(target).filter(({ name }) => names.includes(name))) {
      const elements = planner.parseSet(await run(planner.inspectSet(set)));
      if (elements !== undefined) left[set.role] = elements;
    }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  return left;
}

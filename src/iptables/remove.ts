/** Removes what the iptables backend has made: chain, jumps and set, in every family. */

import type { Backend } from "../backend/step.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../log/log.ts";
import { CommandError } from "../system/command-error.ts";
import { runUntilNo } from "../system/exec.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { Script } from "../system/script.ts";
import { rulesOfOthers } from "./chain-owner.ts";
import type { ToolWorld } from "./tools.ts";

/** A family whose legacy table does not exist has nothing of ours; nor, as far as we can see, one without tools. */
export async function removeAll(backend: Backend, chain: string, world: ToolWorld): Promise<string[]> {
  const { run, finish = run } = world;
  const removed: string[] = [];
  for (const family of FAMILIES) {
    const scripts = await removal(backend, { chain, family }, world);
    for (const script of scripts) await finish(script);
    if (scripts.length > 0) removed.push(`${family}: chain ${chain} (${backend.tools(family).command})`);
  }
  return removed;
}

async function removal(
  backend: Backend,
  target: Pick<Ruleset, "chain" | "family">,
  world: ToolWorld,
): Promise<readonly Script[]> {
  const { probe, run } = world;
  const { chain, family } = target;
  try {
    const capabilities = await probe(backend.tools(family), run);
    if (capabilities.variant === "legacy" && !hasLegacyNat(family)) return [];
    const ruleset: Ruleset = { ...target, entries: [], masquerade: { randomFully: false, toPorts: [] } };
    const [listing] = await runUntilNo(backend.inspect(ruleset, capabilities).slice(0, 1), run);
    const observed = backend.parse(ruleset, capabilities, listing === undefined ? [] : [listing]);
    const jumps = backend.countJumps(chain, await run(backend.inspectLeftovers(family, capabilities)));
    const { rules = [] } = observed;
    const isOthers = backend.isOthers(chain, observed);
    // A wrong --masq-chain: nothing there is ours.
    if (isOthers && jumps === 0) return [];
    if (isOthers) warnOnce(world, family, `chain ${chain} stays: it has ${rulesOfOthers(rules.length)}`);
    const set = await leftSet(backend, target, run);
    return backend.remove(
      target,
      capabilities,
      { ...observed, ...(isOthers && { rules: undefined }), set },
      jumps,
    );
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== "ENOENT") throw error;
    const { command } = backend.tools(family);
    warnOnce(
      world,
      family,
      `${command} is not installed, so chain ${chain} stays if it is there: ${error.message}`,
    );
    return [];
  }
}

/** A set that an agent with a longer list, or a lower threshold, has left. */
export async function removeStaleSet(
  backend: Backend,
  target: Pick<Ruleset, "chain" | "family">,
  { run, log }: ToolWorld,
): Promise<void> {
  if ((await leftSet(backend, target, run)) === undefined) return;
  for (const script of backend.discardSet(target)) await run(script);
  about(log, target.family).info(`${target.family}: removed the set of a list that is short by now`);
}

/** It is looked once a resync interval. */
function warnOnce({ log, said }: ToolWorld, family: Family, what: string): void {
  const line = `${family}: ${what}`;
  if (said?.has(line)) return;
  said?.add(line);
  about(log, family).warning(line);
}

function about(log: Logger, family: Family): Logger {
  return log.with({ family, backend: "iptables" });
}

/** Without the tool, there is no set that could be removed. */
async function leftSet(
  backend: Backend,
  target: Pick<Ruleset, "chain" | "family">,
  run: ToolWorld["run"],
): Promise<readonly string[] | undefined> {
  try {
    return backend.parseSet(await run(backend.inspectSet(target)));
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

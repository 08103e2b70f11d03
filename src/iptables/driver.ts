/** The iptables backend at work: tools are run, and netlink tells where they need not be. */

import { type Driver, IN_SYNC, type Look, Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "../system/command-error.ts";
import type { Script } from "../system/script.ts";
import { IPSET } from "./ipset-scripts.ts";
import {
  type Context,
  capabilitiesOf,
  hasJump,
  lookAgain,
  lookWithTools,
  makeRoom,
  observeSet,
  see,
  sightOf,
} from "./look.ts";
import { createMemory, isKnownAsOf, noteOver } from "./memory.ts";
import type { IptablesPlanner } from "./planner.ts";
import { removeAll, removeLeftSet } from "./remove.ts";
import type { ToolWorld } from "./world.ts";

/** A driver for an agent whose chain has this name. */
export function iptablesDriver(planner: IptablesPlanner, chain: string, world: ToolWorld): Driver {
  const memory = createMemory();
  const context: Context = { planner, chain, world, memory };
  return {
    name: "iptables",
    groups: (rulesets) => {
      memory.wanted = rulesets.map(({ family }) => family);
      return rulesets.map((ruleset) => [ruleset]);
    },
    place: () => `chain ${chain}`,
    look: async ([ruleset], thorough) => (ruleset === undefined ? IN_SYNC : look(context, ruleset, thorough)),
    knows: (generation) => isKnownAsOf(memory, generation),
    heard: (generation) => noteOver(memory, generation),
    async apply({ steps, refusal }, [ruleset]) {
      if (refusal !== undefined) throw new Refusal(refusal);
      return ruleset === undefined || steps.length === 0 ? IN_SYNC : apply(context, steps, ruleset);
    },
    async counters() {
      const counts = [];
      for (const family of memory.inForce.keys())
        counts.push(...((await sightOf(context, family)?.count(family)) ?? []));
      return counts;
    },
    remove: () => removeAll(planner, chain, world),
    async tidy() {
      for (const family of memory.capabilities.keys()) {
        if (!memory.withSet.has(family)) await removeLeftSet(planner, { chain, family }, world);
      }
    },
    close: () => world.sight?.close(),
  };
}

async function look(context: Context, ruleset: Ruleset, thorough: boolean): Promise<Look> {
  const { planner, world, memory } = context;
  const { family } = ruleset;
  const before = memory.inForce.get(family);
  if (before?.ruleset !== ruleset) {
    makeRoom(context, ruleset);
    await capabilitiesOf(context, ruleset);
    return lookWithTools(context, ruleset, await see(context, ruleset));
  }
  const isSeeable = sightOf(context, family) !== undefined;
  // As long as the generation does not change, nothing else is asked.
  const isNewest =
    isSeeable && before.isSettled && before.sighting?.generation === (await world.sight?.generation());
  const newest = memory.over;
  const sighting = isNewest ? before.sighting : await see(context, ruleset, before.sighting?.image);
  // Without netlink only a thorough look is worth the tools.
  if (sighting === undefined && !isSeeable && !thorough) return IN_SYNC;
  if (sighting === undefined || sighting.image !== before.sighting?.image)
    return lookAgain(context, before, sighting);
  memory.inForce.set(family, { ...before, sighting, isSettled: sighting.generation <= newest });
  if (!thorough || !memory.withSet.has(family)) return IN_SYNC;
  // Nothing tells of changes of a set, so it is looked at.
  const capabilities = await capabilitiesOf(context, ruleset);
  const observed = await observeSet(context, ruleset, { rules: before.rules, jump: true });
  return planner.plan(ruleset, capabilities, observed);
}

async function apply(context: Context, steps: Plan["steps"], ruleset: Ruleset): Promise<Look> {
  const { world, memory } = context;
  const { family } = ruleset;
  memory.inForce.delete(family);
  memory.taken.add(family);
  const from = await sightOf(context, family)?.generation();
  const planned = memory.plannedAt.get(family);
  const commits = await commit(context, steps, ruleset, from);
  const sighting = await see(context, ruleset);
  if (from === undefined || sighting === undefined) return lookWithTools(context, ruleset, sighting);
  const to = sighting.generation;
  const isAlone = to - from <= commits;
  if (isAlone) {
    world.claim?.({ from, to });
    noteOver(memory, to);
  }
  const left = await lookWithTools(context, ruleset, sighting);
  if (left.steps.length === 0) return left;
  const isPlanned = isAlone && planned === from;
  return { ...left, disturbed: !isPlanned || to !== (await world.sight?.generation()) };
}

/** Runs steps, and says how many have committed; a first failure while others commit only ends them. */
async function commit(
  context: Context,
  steps: Plan["steps"],
  ruleset: Ruleset,
  from: number | undefined,
): Promise<number> {
  const { world, memory } = context;
  const { family } = ruleset;
  let commits = 0;
  makeRoom(context, ruleset);
  try {
    for (const step of steps) if ("file" in step && (await carryOut(context, step, ruleset))) commits++;
    memory.excused.delete(family);
  } catch (error) {
    const isAlone = from === undefined || ((await world.sight?.generation()) ?? 0) - from <= commits;
    if (!(error instanceof CommandError) || isAlone || memory.excused.has(family)) throw error;
    memory.excused.add(family);
  }
  return commits;
}

/** Runs a step, and says whether it has committed. A check that says no is doubted first. */
async function carryOut(
  context: Context,
  { otherwise, ...script }: Script,
  ruleset: Ruleset,
): Promise<boolean> {
  const { run, finish = run, inTurn = (work) => work() } = context.world;
  if (otherwise === undefined) return (await finish(script)).exitCode === 0 && script.file !== IPSET;
  return inTurn(async () => {
    const { exitCode } = await finish({ ...script, accept: [1] });
    const seen = await see(context, ruleset);
    if (await hasJump(context, ruleset, exitCode === 0, seen?.jump)) return false;
    return (await finish(otherwise)).exitCode === 0;
  });
}

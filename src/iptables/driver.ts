/** The iptables backend at work: it runs tools, except where netlink shows that nothing has changed. */

import type { FamilyReading } from "../backend/asked-entries.ts";
import { type Driver, IN_SYNC, type Inspection, Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { VerdictCount } from "../backend/verdict-counters.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "../system/command-error.ts";
import type { Script } from "../system/script.ts";
import { entriesAsked } from "./counters.ts";
import {
  type Context,
  capabilitiesOf,
  hasJump,
  inspectAgain,
  inspectWithTools,
  knownSets,
  makeRoom,
  observeSets,
  see,
  viewOf,
} from "./inspect.ts";
import { IPSET } from "./ipset-scripts.ts";
import { createMemory, isKnownAsOf, noteOver } from "./memory.ts";
import type { IptablesPlanner } from "./planner.ts";
import { removeAll, removeLeftSets } from "./remove.ts";
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
    inspect: async ([ruleset], thorough) =>
      ruleset === undefined ? IN_SYNC : inspect(context, ruleset, thorough),
    knows: (generation) => isKnownAsOf(memory, generation),
    heard: (generation) => noteOver(memory, generation),
    async apply({ steps, refusal }, [ruleset]) {
      if (refusal !== undefined) throw new Refusal(refusal);
      return ruleset === undefined || steps.length === 0 ? IN_SYNC : apply(context, steps, ruleset);
    },
    async counters() {
      const verdicts: VerdictCount[] = [];
      const entries: FamilyReading[] = [];
      for (const [family, { ruleset, rules }] of memory.inForce) {
        const counts = await viewOf(context, family)?.count(family);
        if (counts === undefined) continue;
        verdicts.push(...counts.verdicts);
        entries.push({ family, entries: entriesAsked(ruleset, rules, counts.rules) });
      }
      return { verdicts, entries };
    },
    remove: () => removeAll(planner, chain, world),
    async removeStaleSet() {
      for (const family of memory.capabilities.keys())
        await removeLeftSets(planner, { chain, family }, memory.sets, world);
    },
    close: () => world.view?.close(),
  };
}

async function inspect(context: Context, ruleset: Ruleset, thorough: boolean): Promise<Inspection> {
  const { planner, world, memory } = context;
  const { family } = ruleset;
  const before = memory.inForce.get(family);
  if (before?.ruleset !== ruleset) {
    makeRoom(context, ruleset);
    await capabilitiesOf(context, ruleset);
    return inspectWithTools(context, ruleset, await see(context, ruleset));
  }
  const isSeeable = viewOf(context, family) !== undefined;
  // While the generation stays the same, there is nothing else to read.
  const isNewest =
    isSeeable && before.isSettled && before.snapshot?.generation === (await world.view?.generation());
  const newest = memory.over;
  const snapshot = isNewest ? before.snapshot : await see(context, ruleset, before.snapshot?.image);
  // Without netlink only a thorough inspection is worth running the tools.
  if (snapshot === undefined && !isSeeable && !thorough) return IN_SYNC;
  if (snapshot === undefined || snapshot.image !== before.snapshot?.image)
    return inspectAgain(context, before, snapshot);
  memory.inForce.set(family, { ...before, snapshot, isSettled: snapshot.generation <= newest });
  if (!thorough || knownSets(memory, ruleset).length === 0) return IN_SYNC;
  // Changes of a set raise no event, so read it.
  const capabilities = await capabilitiesOf(context, ruleset);
  const observed = await observeSets(context, ruleset, { rules: before.rules, jump: true });
  return planner.plan(ruleset, capabilities, observed);
}

async function apply(context: Context, steps: Plan["steps"], ruleset: Ruleset): Promise<Inspection> {
  const { world, memory } = context;
  const { family } = ruleset;
  memory.inForce.delete(family);
  memory.taken.add(family);
  const from = await viewOf(context, family)?.generation();
  const planned = memory.plannedAt.get(family);
  const commits = await commit(context, steps, ruleset, from);
  const snapshot = await see(context, ruleset);
  if (from === undefined || snapshot === undefined) return inspectWithTools(context, ruleset, snapshot);
  const to = snapshot.generation;
  const isAlone = to - from <= commits;
  if (isAlone) {
    world.claim?.({ from, to });
    noteOver(memory, to);
  }
  const left = await inspectWithTools(context, ruleset, snapshot);
  if (left.steps.length === 0) return left;
  const isPlanned = isAlone && planned === from;
  return { ...left, disturbed: !isPlanned || to !== (await world.view?.generation()) };
}

/** Runs steps, and returns how many have committed; a first failure while other processes commit only ends them. */
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
    const isAlone = from === undefined || ((await world.view?.generation()) ?? 0) - from <= commits;
    if (!(error instanceof CommandError) || isAlone || memory.excused.has(family)) throw error;
    memory.excused.add(family);
  }
  return commits;
}

/** Runs a step, and returns whether it has committed. Verifies a check that says no first. */
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

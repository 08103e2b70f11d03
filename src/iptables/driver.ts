/** The iptables backend at work: tools are run, and netlink tells where they need not be. */

import { type Driver, IN_SYNC, type Look, Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "../system/command-error.ts";
import { runUntilNo } from "../system/exec.ts";
import type { Script } from "../system/script.ts";
import { whyNotOurs } from "./chain-check.ts";
import { IPSET } from "./ipset-scripts.ts";
import { listUntil } from "./listing.ts";
import type { Sighting } from "./netlink-view.ts";
import type { Capabilities, IptablesPlanner, Observed } from "./planner.ts";
import { removeAll, removeLeftSet } from "./remove.ts";
import { describeTools, probeIpset, type ToolWorld } from "./world.ts";

/** What a family was last found to hold. */
interface InForce {
  readonly ruleset: Ruleset;
  /** As the tools listed them. */
  readonly rules: Observed["rules"];
  /** How it looked then; absent where that cannot be seen. */
  readonly sighting?: Sighting;
  /** Whether all commits up to that generation were over when it was looked at. */
  readonly isSettled?: boolean;
}

/**
 * How long a tool may take that only looks, waiting 5 s for the xtables lock included: while it hangs, its family is not healed.
 * Of each rule, what it may take longer on a slow machine.
 */
const LOOK_DEADLINE_MS = 6_000;
const LOOK_DEADLINE_PER_RULE_MS = 1;

/** As many entries make a list long. */
const LONG = 10_000;

/** How often it is looked with the tools at most, while what is seen changes or they say what is not so. */
const ATTEMPTS = 3;

/** A driver for an agent whose chain has this name. */
export function iptablesDriver(planner: IptablesPlanner, chain: string, world: ToolWorld): Driver {
  const { run, sight, finish = run, inTurn = (work) => work() } = world;
  const known = new Map<Family, Capabilities>();
  /** Families whose chain this agent has written, or seen in force: it is healed, whatever others make of it. */
  const taken = new Set<Family>();
  /** Families whose set may be there although the list is short by now. */
  const withSet = new Set<Family>();
  let ipset: boolean | undefined;
  /** The families that are to be in force, and those that were seen to be. */
  let wanted: readonly Family[] = [];
  const inForce = new Map<Family, InForce>();
  /** As of which generation the last plans are, where all commits up to it were over. */
  const plannedAt = new Map<Family, number>();
  /** Families of which a tool has failed while others committed: what they removed may be why, but not time after time. */
  const excused = new Set<Family>();
  /** All commits up to this generation are over. */
  let over = -1;

  const capabilitiesOf = async (ruleset: Ruleset): Promise<Capabilities> => {
    const { family } = ruleset;
    const found = known.get(family) ?? (await describeTools(planner, ruleset, world));
    known.set(family, found);
    if (!planner.wantsSet(ruleset)) return found;
    ipset ??= await probeIpset(world);
    withSet.add(family);
    return { ...found, ipset };
  };

  /** A family's rules can be seen where the tools are of the nf_tables variant. */
  const sightOf = (family: Family) => (known.get(family)?.variant === "nf_tables" ? sight : undefined);

  const see = async ({ family }: Ruleset, expected?: string): Promise<Sighting | undefined> =>
    sightOf(family)?.see(family, expected);

  /**
   * Whether our jump stands. What is seen over netlink counts for more than what `-C` says, and where it cannot be seen, or
   * they disagree, a listing decides: some versions of the tool do not find the rule, and two jumps are never taken back.
   */
  const jumpStands = async (ruleset: Ruleset, isFound: boolean, seen: Sighting["jump"] | undefined) => {
    if (seen === "ours" || (isFound && seen !== "none")) return true;
    if (!isFound && seen === "none") return false;
    const capabilities = await capabilitiesOf(ruleset);
    if (!capabilities.check) return isFound;
    const listing = await finish(planner.inspectLeftovers(ruleset.family, capabilities));
    return planner.countJumps(chain, listing) > 0;
  };

  const makeRoom = ({ entries }: Ruleset) => {
    if (entries.length > LONG) world.relieve?.();
  };

  /** The scripts that look; without events there is nobody to be healed sooner. */
  const inspect = (ruleset: Ruleset, capabilities: Capabilities, seen: Sighting | undefined) => {
    const scripts = planner.inspection(ruleset, capabilities);
    if (sight === undefined) return scripts;
    const lengths = [
      ruleset.entries.length,
      seen?.rules ?? 0,
      inForce.get(ruleset.family)?.rules?.length ?? 0,
    ];
    const deadlineMs = LOOK_DEADLINE_MS + Math.max(...lengths) * LOOK_DEADLINE_PER_RULE_MS;
    return scripts.map((script) => ({ ...script, deadlineMs }));
  };

  /** What the tools list, and the jump as far as it can be seen. */
  const observe = async (ruleset: Ruleset, capabilities: Capabilities, seen: Sighting | undefined) => {
    makeRoom(ruleset);
    const scripts = inspect(ruleset, capabilities, seen);
    const answers = await runUntilNo(seen?.jump === "ours" ? scripts.slice(0, 1) : scripts, run);
    const observed = planner.parse(ruleset, capabilities, answers);
    // A chain that does not exist, by the only word there is, has no jump to it.
    const isAsked = observed.rules !== undefined || seen !== undefined;
    const jump = isAsked && (await jumpStands(ruleset, observed.jump, seen?.jump));
    return observeSet(ruleset, { ...observed, jump });
  };

  const observeSet = async (ruleset: Ruleset, observed: Observed): Promise<Observed> => {
    if (ipset !== true || !withSet.has(ruleset.family)) return observed;
    const set = planner.parseSet(await run(planner.inspectSet(ruleset)));
    // Once it is gone and not wanted, there is nothing more to look for.
    if (set === undefined && !planner.wantsSet(ruleset)) withSet.delete(ruleset.family);
    return { ...observed, set };
  };

  /** The tools' word on a ruleset, as long as what is seen bears it out; if it is in force, both are remembered. */
  const ask = async (ruleset: Ruleset, sighting: Sighting | undefined): Promise<Look> => {
    const capabilities = await capabilitiesOf(ruleset);
    let before = sighting;
    for (let attempt = 1; ; attempt++) {
      const observed = await observe(ruleset, capabilities, before).catch((error: unknown) => error as Error);
      const newest = over;
      const after = before === undefined ? undefined : await see(ruleset, before.image);
      const isStill = after?.image === before?.image;
      if (observed instanceof Error) {
        // What a tool was about to look at may have gone in the midst of it.
        if (isStill || attempt === ATTEMPTS || !(observed instanceof CommandError)) throw observed;
        before = after ?? (await see(ruleset));
        continue;
      }
      const isTrue = after === undefined || after.rules === (observed.rules?.length ?? 0);
      if ((isStill && isTrue) || attempt === ATTEMPTS) {
        // A tool that lists rules which are not there is not believed: they are written again.
        const rules = isTrue ? observed.rules : observed.rules && [];
        const isTaken = taken.has(ruleset.family);
        const refusal = isTaken ? undefined : await whyNotOurs(planner, ruleset, capabilities, observed, run);
        if (refusal !== undefined) return { ...IN_SYNC, refusal };
        const plan = planner.plan(ruleset, capabilities, { ...observed, rules });
        if (!isStill) return { ...plan, disturbed: true };
        plannedAt.delete(ruleset.family);
        if (after !== undefined && after.generation <= newest)
          plannedAt.set(ruleset.family, after.generation);
        if (plan.steps.length > 0 || plan.refusal !== undefined) return plan;
        taken.add(ruleset.family);
        const seen = after && { sighting: after, isSettled: after.generation <= newest };
        inForce.set(ruleset.family, { ruleset, rules, ...seen });
        return plan;
      }
      before = after ?? (await see(ruleset));
    }
  };

  /** Looks with the tools, and says in which generations came about what differs. */
  const lookAgain = async (before: InForce, sighting: Sighting | undefined): Promise<Look> => {
    const { ruleset, sighting: old } = before;
    const isSeen = old !== undefined && sighting !== undefined && old.image !== sighting.image;
    // Drift that only a listing shows is looked at twice.
    const plan = await listUntil(
      () => ask(ruleset, sighting),
      ({ steps }) => steps.length === 0 || isSeen,
      2,
    );
    return isSeen ? { ...plan, span: { from: old.generation, to: sighting.generation } } : plan;
  };

  /** Runs a step, and says whether it has committed; of a check that says no, it is doubted first. */
  const carryOut = async ({ otherwise, ...script }: Script, ruleset: Ruleset): Promise<boolean> => {
    if (otherwise === undefined) return (await finish(script)).exitCode === 0 && script.file !== IPSET;
    return inTurn(async () => {
      const { exitCode } = await finish({ ...script, accept: [1] });
      if (await jumpStands(ruleset, exitCode === 0, (await see(ruleset))?.jump)) return false;
      return (await finish(otherwise)).exitCode === 0;
    });
  };

  /** Runs steps, and says how many have committed; a first failure while others commit only ends them. */
  const commit = async (
    steps: Plan["steps"],
    ruleset: Ruleset,
    from: number | undefined,
  ): Promise<number> => {
    const { family } = ruleset;
    let commits = 0;
    makeRoom(ruleset);
    try {
      for (const step of steps) if ("file" in step && (await carryOut(step, ruleset))) commits++;
      excused.delete(family);
    } catch (error) {
      const isAlone = from === undefined || ((await sight?.generation()) ?? 0) - from <= commits;
      if (!(error instanceof CommandError) || isAlone || excused.has(family)) throw error;
      excused.add(family);
    }
    return commits;
  };

  return {
    name: "iptables",
    groups: (rulesets) => {
      wanted = rulesets.map(({ family }) => family);
      return rulesets.map((ruleset) => [ruleset]);
    },
    place: () => `chain ${chain}`,
    async look([ruleset], thorough): Promise<Look> {
      if (ruleset === undefined) return IN_SYNC;
      const { family } = ruleset;
      const before = inForce.get(family);
      if (before?.ruleset !== ruleset) {
        makeRoom(ruleset);
        await capabilitiesOf(ruleset);
        return ask(ruleset, await see(ruleset));
      }
      const isSeeable = sightOf(family) !== undefined;
      // As long as the generation stands still, nothing else is asked.
      const isNewest =
        isSeeable && before.isSettled && before.sighting?.generation === (await sight?.generation());
      const newest = over;
      const sighting = isNewest ? before.sighting : await see(ruleset, before.sighting?.image);
      // Without netlink only a thorough look is worth the tools.
      if (sighting === undefined && !isSeeable && !thorough) return IN_SYNC;
      if (sighting === undefined || sighting.image !== before.sighting?.image)
        return lookAgain(before, sighting);
      inForce.set(family, { ...before, sighting, isSettled: sighting.generation <= newest });
      if (!thorough || !withSet.has(family)) return IN_SYNC;
      // Nothing tells of changes of a set, so it is looked at.
      const capabilities = await capabilitiesOf(ruleset);
      return planner.plan(
        ruleset,
        capabilities,
        await observeSet(ruleset, { rules: before.rules, jump: true }),
      );
    },
    knows: (generation) =>
      wanted.every((family) => {
        if (known.get(family)?.variant === "legacy") return true;
        const { sighting, isSettled } = inForce.get(family) ?? {};
        return sighting !== undefined && sighting.generation >= generation + (isSettled === true ? 0 : 1);
      }),
    heard(generation) {
      over = Math.max(over, generation);
    },
    async apply({ steps, refusal }, [ruleset]): Promise<Look> {
      if (refusal !== undefined) throw new Refusal(refusal);
      if (ruleset === undefined || steps.length === 0) return IN_SYNC;
      inForce.delete(ruleset.family);
      taken.add(ruleset.family);
      const from = await sightOf(ruleset.family)?.generation();
      const planned = plannedAt.get(ruleset.family);
      const commits = await commit(steps, ruleset, from);
      const sighting = await see(ruleset);
      if (from === undefined || sighting === undefined) return ask(ruleset, sighting);
      const to = sighting.generation;
      const isAlone = to - from <= commits;
      if (isAlone) {
        world.claim?.({ from, to });
        over = Math.max(over, to);
      }
      const left = await ask(ruleset, sighting);
      if (left.steps.length === 0) return left;
      const isPlanned = isAlone && planned === from;
      return { ...left, disturbed: !isPlanned || to !== (await sight?.generation()) };
    },
    async counters() {
      const counts = [];
      for (const family of inForce.keys()) counts.push(...((await sightOf(family)?.count(family)) ?? []));
      return counts;
    },
    remove: () => removeAll(planner, chain, world),
    async tidy() {
      for (const family of known.keys()) {
        if (!withSet.has(family)) await removeLeftSet(planner, { chain, family }, world);
      }
    },
    close: () => sight?.close(),
  };
}

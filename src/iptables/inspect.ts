/** Inspects a family's rules: over netlink where that is enough, otherwise with the tools. */

import { IN_SYNC, type Inspection } from "../backend/driver.ts";
import type { Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "../system/command-error.ts";
import { runUntilNo } from "../system/exec.ts";
import type { Script } from "../system/script.ts";
import { whyNotOurs } from "./chain-check.ts";
import { type OwnSet, ownSets, type SetRole, setName } from "./ipset.ts";
import { listUntil } from "./listing.ts";
import { type InForce, type Memory, noteInForce, notePlan } from "./memory.ts";
import type { NetlinkView, Snapshot } from "./netlink-view.ts";
import type { Capabilities, IptablesPlanner, Observed, Target } from "./planner.ts";
import { describeTools, probeIpset, type ToolWorld } from "./world.ts";

/** The parts of a driver. */
export interface Context {
  readonly planner: IptablesPlanner;
  readonly chain: string;
  readonly world: ToolWorld;
  readonly memory: Memory;
}

/**
 * The deadline of a tool that only reads, with 5 s of waiting for the xtables lock: while it hangs, no pass heals its family.
 * The second value adds time for each rule on a slow machine.
 */
const LOOK_DEADLINE_MS = 6_000;
const LOOK_DEADLINE_PER_RULE_MS = 1;

/** The number of entries that make lists long. */
const LONG = 10_000;

/** The number of inspections with the tools while the rules change meanwhile, or the tools contradict netlink. */
const ATTEMPTS = 3;

/** The capabilities of a family's tools, determined once. */
export async function capabilitiesOf(context: Context, ruleset: Ruleset): Promise<Capabilities> {
  const { planner, world, memory } = context;
  const { family } = ruleset;
  const found = memory.capabilities.get(family) ?? (await describeTools(planner, ruleset, world));
  memory.capabilities.set(family, found);
  const wanted = planner.wantedSets(ruleset);
  if (wanted.length === 0) return found;
  memory.ipset ??= await probeIpset(wanted, world);
  for (const role of wanted) memory.sets.add(setName(ruleset, role));
  return { ...found, ipset: memory.ipset };
}

/** The netlink view of a family, where the tools are of the nf_tables variant. */
export function viewOf({ world, memory }: Context, family: Family): NetlinkView | undefined {
  return memory.capabilities.get(family)?.variant === "nf_tables" ? world.view : undefined;
}

/** The snapshot of a family's rules over netlink, where there is a view. */
export async function see(
  context: Context,
  { family }: Ruleset,
  expected?: string,
): Promise<Snapshot | undefined> {
  return viewOf(context, family)?.see(family, expected);
}

/** Frees memory before tools work on a long chain. */
export function makeRoom({ world }: Context, { entries, scope }: Ruleset): void {
  if (entries.length + (scope?.sources.length ?? 0) > LONG) world.relieve?.();
}

/**
 * Whether our jump exists. Netlink counts for more than `-C`, and where there is no view, or they disagree, a listing decides:
 * some versions of the tool do not find the rule, and nothing ever removes a second jump.
 */
export async function hasJump(
  context: Context,
  ruleset: Ruleset,
  isFound: boolean,
  seen: Snapshot["jump"] | undefined,
): Promise<boolean> {
  const { planner, chain, world } = context;
  const { finish = world.run } = world;
  if (seen === "ours" || (isFound && seen !== "none")) return true;
  if (!isFound && seen === "none") return false;
  const capabilities = await capabilitiesOf(context, ruleset);
  if (!capabilities.check) return isFound;
  const listing = await finish(planner.inspectLeftovers(ruleset.family, capabilities));
  return planner.countJumps(chain, listing) > 0;
}

/** The scripts that read; without events they need no shorter deadline. */
function inspection(
  { planner, world, memory }: Context,
  ruleset: Ruleset,
  capabilities: Capabilities,
  seen: Snapshot | undefined,
): readonly Script[] {
  const scripts = planner.inspection(ruleset, capabilities);
  if (world.view === undefined) return scripts;
  const known = memory.inForce.get(ruleset.family)?.rules?.length ?? 0;
  const rules = Math.max(ruleset.entries.length, seen?.rules ?? 0, known);
  const deadlineMs = LOOK_DEADLINE_MS + rules * LOOK_DEADLINE_PER_RULE_MS;
  return scripts.map((script) => ({ ...script, deadlineMs }));
}

/** The rules that the tools list, and the jump as far as netlink shows it. */
async function observe(
  context: Context,
  ruleset: Ruleset,
  capabilities: Capabilities,
  seen: Snapshot | undefined,
): Promise<Observed> {
  makeRoom(context, ruleset);
  const scripts = inspection(context, ruleset, capabilities, seen);
  const answers = await runUntilNo(seen?.jump === "ours" ? scripts.slice(0, 1) : scripts, context.world.run);
  const observed = context.planner.parse(ruleset, capabilities, answers);
  // If the tools are the only source and list no chain, there is no jump to it.
  const isAsked = observed.rules !== undefined || seen !== undefined;
  const jump = isAsked && (await hasJump(context, ruleset, observed.jump, seen?.jump));
  return observeSets(context, ruleset, { ...observed, jump });
}

/** Adds the elements of the sets that may exist. */
export async function observeSets(
  { planner, world, memory }: Context,
  ruleset: Ruleset,
  observed: Observed,
): Promise<Observed> {
  const sets: { [role in SetRole]?: readonly string[] } = {};
  for (const set of knownSets(memory, ruleset)) {
    const elements = planner.parseSet(await world.run(planner.inspectSet(set)));
    if (elements !== undefined) sets[set.role] = elements;
    // Once it is gone and not wanted, stop reading it.
    else if (!planner.wantedSets(ruleset).includes(set.role)) memory.sets.delete(set.name);
  }
  return { ...observed, sets };
}

/** The sets of a chain that may exist. */
export function knownSets({ ipset, sets }: Memory, target: Target): readonly OwnSet[] {
  return ipset === true ? ownSets(target).filter(({ name }) => sets.has(name)) : [];
}

/** Inspects a ruleset with the tools, until netlink agrees; remembers both if it is in force. */
export async function inspectWithTools(
  context: Context,
  ruleset: Ruleset,
  snapshot: Snapshot | undefined,
): Promise<Inspection> {
  const capabilities = await capabilitiesOf(context, ruleset);
  let before = snapshot;
  for (let attempt = 1; ; attempt++) {
    const observed = await observe(context, ruleset, capabilities, before).catch(
      (error: unknown) => error as Error,
    );
    const newest = context.memory.over;
    const after = before === undefined ? undefined : await see(context, ruleset, before.image);
    const isStill = after?.image === before?.image;
    const isLast = attempt === ATTEMPTS;
    if (observed instanceof Error) {
      // The objects that a tool was about to read may have disappeared meanwhile.
      if (isStill || isLast || !(observed instanceof CommandError)) throw observed;
    } else {
      const isTrue = after === undefined || after.rules === (observed.rules?.length ?? 0);
      // Do not trust a tool that lists rules which do not exist: write them again.
      const believed = isTrue ? observed.rules : observed.rules && [];
      if ((isStill && isTrue) || isLast)
        return judge(context, ruleset, capabilities, { observed, believed, after, newest, isStill });
    }
    before = after ?? (await see(context, ruleset));
  }
}

/** The results of the tools and of netlink. */
interface Judged {
  readonly observed: Observed;
  readonly believed: Observed["rules"];
  readonly after: Snapshot | undefined;
  /** All commits up to this generation were over. */
  readonly newest: number;
  /** Whether nothing has changed meanwhile. */
  readonly isStill: boolean;
}

async function judge(
  { planner, world, memory }: Context,
  ruleset: Ruleset,
  capabilities: Capabilities,
  { observed, believed, after, newest, isStill }: Judged,
): Promise<Inspection> {
  const { family } = ruleset;
  const isTaken = memory.taken.has(family);
  const refusal = isTaken ? undefined : await whyNotOurs(planner, ruleset, capabilities, observed, world.run);
  if (refusal !== undefined) return { ...IN_SYNC, refusal };
  const plan = planner.plan(ruleset, capabilities, { ...observed, rules: believed });
  if (!isStill) return { ...plan, disturbed: true };
  notePlan(memory, family, after, newest);
  if (plan.steps.length > 0 || plan.refusal !== undefined) return plan;
  memory.taken.add(family);
  noteInForce(memory, ruleset, believed, after, newest);
  return plan;
}

/** Inspects with the tools, and adds the generations in which the drift came about. */
export async function inspectAgain(
  context: Context,
  { ruleset, snapshot: old }: InForce,
  snapshot: Snapshot | undefined,
): Promise<Inspection> {
  const isSeen = old !== undefined && snapshot !== undefined && old.image !== snapshot.image;
  // Read drift that only a listing shows twice.
  const plan = await listUntil(
    () => inspectWithTools(context, ruleset, snapshot),
    ({ steps }) => steps.length === 0 || isSeen,
    2,
  );
  return isSeen ? { ...plan, span: { from: old.generation, to: snapshot.generation } } : plan;
}

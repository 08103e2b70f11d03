/** The iptables backend at work: tools are run, one family after the other. */
import type { Answer, Backend, Capabilities, Observed, Script, Tools } from "../backend/backend.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../observe/log.ts";
import type { Span } from "../source/witness.ts";
import { type Driver, type Look, Refusal } from "./driver.ts";
import { CommandError } from "./exec.ts";
import { legacyTables } from "./legacy.ts";
import type { Sight, Sighting } from "./nat-sight.ts";

/** What the driver needs of the world. */
export interface ToolWorld {
  readonly run: (script: Script) => Promise<Answer>;
  readonly probe: (tools: Tools, run: (script: Script) => Promise<Answer>) => Promise<Capabilities>;
  readonly log: Logger;
  /** For an agent that acts on events: how iptables-nft's rules are seen without a child process. */
  readonly sight?: Sight;
  /** Told of the commits that the driver itself has made. */
  readonly claim?: (span: Span) => void;
}

/** What a family was last found to hold, or was brought to. */
interface InForce {
  readonly ruleset: Ruleset;
  /** As the tools listed them; undefined if they were not asked since. */
  readonly rules: Observed["rules"];
  /** How it looked then; absent where that cannot be seen. */
  readonly sighting?: Sighting;
}

const IN_SYNC: Look = { drift: [], steps: [] };

/** A driver for an agent whose chain has this name. */
export function iptablesDriver(backend: Backend, chain: string, world: ToolWorld): Driver {
  const known = new Map<Family, Capabilities>();
  /** Families whose set may be there although the list is short by now. */
  const withSet = new Set<Family>();
  let ipset: boolean | undefined;
  const inForce = new Map<Family, InForce>();

  const capabilitiesOf = async (ruleset: Ruleset): Promise<Capabilities> => {
    const { family } = ruleset;
    const found = known.get(family) ?? (await describeTools(backend, ruleset, world));
    known.set(family, found);
    if (!backend.wantsSet(ruleset)) return found;
    ipset ??= await probeIpset(world);
    withSet.add(family);
    return { ...found, ipset };
  };

  const observe = async (ruleset: Ruleset, capabilities: Capabilities): Promise<Observed> => {
    const answers = await runUntilNo(backend.inspect(ruleset, capabilities), world.run);
    return observeSet(ruleset, backend.parse(ruleset, capabilities, answers));
  };

  const observeSet = async (ruleset: Ruleset, observed: Observed): Promise<Observed> => {
    if (ipset !== true || !withSet.has(ruleset.family)) return observed;
    const set = backend.parseSet(await world.run(backend.inspectSet(ruleset)));
    // Once it is gone and not wanted, there is nothing more to look for.
    if (set === undefined && !backend.wantsSet(ruleset)) withSet.delete(ruleset.family);
    return { ...observed, set };
  };

  /** A family's rules can be seen where the tools are of the nf_tables variant. */
  const sightOf = (family: Family) => (known.get(family)?.variant === "nf_tables" ? world.sight : undefined);

  const see = async ({ family }: Ruleset, expected?: string): Promise<Sighting | undefined> =>
    sightOf(family)?.see(family, expected);

  /** The tools' word on a ruleset; if it is in force, what was seen of it is remembered. */
  const ask = async (ruleset: Ruleset, sighting: Sighting | undefined): Promise<Look> => {
    const capabilities = await capabilitiesOf(ruleset);
    const observed = await observe(ruleset, capabilities);
    const plan = backend.plan(ruleset, capabilities, observed);
    if (plan.steps.length > 0 || plan.refusal !== undefined) return plan;
    // What the tools looked at is what was seen, if that still looks the same.
    const after = sighting === undefined ? undefined : await see(ruleset, sighting.image);
    // And a tool that says yes to everything is not believed.
    const isTrue = after?.rules === observed.rules?.length && after?.jump === observed.jump;
    const seen = isTrue && after?.image === sighting?.image ? after : undefined;
    inForce.set(ruleset.family, { ruleset, rules: observed.rules, ...(seen && { sighting: seen }) });
    return plan;
  };

  /** Looks with the tools, and says in which generations came about what differs. */
  const lookAgain = async (before: InForce, sighting: Sighting | undefined): Promise<Look> => {
    const { ruleset, sighting: old } = before;
    const plan = await ask(ruleset, sighting);
    const isSeen = old !== undefined && sighting !== undefined && old.image !== sighting.image;
    // A listing by iptables-nft 1.8.9 can end early without a word while somebody commits: drift is looked at twice,
    // unless it was seen.
    const sure = plan.steps.length === 0 || isSeen ? plan : await ask(ruleset, sighting);
    return isSeen ? { ...sure, span: { from: old.generation, to: sighting.generation } } : sure;
  };

  return {
    name: "iptables",
    groups: (rulesets) => rulesets.map((ruleset) => [ruleset]),
    place: () => `chain ${chain}`,
    async look([ruleset], thorough): Promise<Look> {
      if (ruleset === undefined) return IN_SYNC;
      const before = inForce.get(ruleset.family);
      if (before?.ruleset !== ruleset) {
        await capabilitiesOf(ruleset);
        return ask(ruleset, await see(ruleset));
      }
      const isSeeable = sightOf(ruleset.family) !== undefined;
      // As long as the generation stands still, nothing else is asked.
      const isNewest = isSeeable && before.sighting?.generation === (await world.sight?.generation());
      const sighting = isNewest ? before.sighting : await see(ruleset, before.sighting?.image);
      // Without netlink only a thorough look is worth the tools.
      if (sighting === undefined && !isSeeable && !thorough) return IN_SYNC;
      if (sighting === undefined || sighting.image !== before.sighting?.image)
        return lookAgain(before, sighting);
      inForce.set(ruleset.family, { ...before, sighting });
      if (!thorough || !withSet.has(ruleset.family)) return IN_SYNC;
      // Nothing tells of changes of a set, so it is looked at.
      const capabilities = await capabilitiesOf(ruleset);
      return backend.plan(
        ruleset,
        capabilities,
        await observeSet(ruleset, { rules: before.rules, jump: true }),
      );
    },
    knows: (generation) =>
      [...inForce].every(
        ([family, { sighting }]) =>
          sightOf(family) === undefined || (sighting?.generation ?? -1) >= generation,
      ),
    async apply({ steps, refusal }, [ruleset]) {
      if (refusal !== undefined) throw new Refusal(refusal);
      if (ruleset === undefined || steps.length === 0) return;
      inForce.delete(ruleset.family);
      const from = await sightOf(ruleset.family)?.generation();
      for (const step of steps) if ("file" in step) await world.run(step);
      inForce.set(ruleset.family, { ruleset, rules: undefined });
      const sighting = await see(ruleset);
      if (from === undefined || sighting === undefined) return;
      // Each step commits once at most: if there were no more, they were ours.
      if (sighting.generation - from <= steps.length) world.claim?.({ from, to: sighting.generation });
      await ask(ruleset, sighting);
    },
    async counters() {
      const counts = [];
      for (const family of inForce.keys()) counts.push(...((await sightOf(family)?.count(family)) ?? []));
      return counts;
    },
    remove: () => removeAll(backend, chain, world),
    async tidy() {
      for (const family of known.keys()) {
        if (!withSet.has(family)) await removeStaleSet(backend, { chain, family }, world);
      }
    },
    close: () => world.sight?.close(),
  };
}

async function describeTools(
  backend: Backend,
  { family, masquerade }: Ruleset,
  { probe, run, log }: ToolWorld,
): Promise<Capabilities> {
  const { command } = backend.tools(family);
  const capabilities = await probe(backend.tools(family), run);
  const about = log.with({ family, backend: "iptables" });
  about.info(`${family}: using ${command} ${capabilities.version} (${capabilities.variant})`);
  if (masquerade.randomFully && !capabilities.randomFully) {
    about.warning(
      `${family}: ${command} ${capabilities.version} does not know --random-fully (1.6.2 does): masquerading without it`,
    );
  }
  return capabilities;
}

async function probeIpset({ run, log }: ToolWorld): Promise<boolean> {
  const script = {
    file: "ipset",
    args: ["--version"],
    purpose: "asking ipset for its version",
    deadlineMs: 10_000,
  };
  try {
    await run(script);
    return true;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log.warning(`${error.message}: the list is longer than --ipset-threshold, but stays a chain of rules`);
    return false;
  }
}

/** Runs scripts that look until one says no: what the next one asks for cannot be there either. */
export async function runUntilNo(scripts: readonly Script[], run: ToolWorld["run"]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const script of scripts) {
    const answer = await run(script);
    answers.push(answer);
    if (answer.exitCode !== 0) break;
  }
  return answers;
}

/** A family whose legacy table does not exist has nothing of ours; nor, as far as we can see, one without tools. */
async function removeAll(backend: Backend, chain: string, world: ToolWorld): Promise<string[]> {
  const removed: string[] = [];
  for (const family of FAMILIES) {
    const scripts = await removal(backend, { chain, family }, world);
    for (const script of scripts) await world.run(script);
    if (scripts.length > 0) removed.push(`${family}: chain ${chain} (${backend.tools(family).command})`);
  }
  return removed;
}

async function removal(
  backend: Backend,
  target: Pick<Ruleset, "chain" | "family">,
  { probe, run, log }: ToolWorld,
): Promise<readonly Script[]> {
  const { chain, family } = target;
  try {
    const capabilities = await probe(backend.tools(family), run);
    if (capabilities.variant === "legacy" && !legacyTables(family).includes("nat")) return [];
    const ruleset: Ruleset = { ...target, entries: [], masquerade: { randomFully: false, toPorts: [] } };
    const [listing] = await runUntilNo(backend.inspect(ruleset, capabilities).slice(0, 1), run);
    const observed = backend.parse(ruleset, capabilities, listing === undefined ? [] : [listing]);
    const jumps = backend.countJumps(chain, await run(backend.inspectLeftovers(family, capabilities)));
    return backend.remove(
      target,
      capabilities,
      { ...observed, set: await leftSet(backend, target, run) },
      jumps,
    );
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== "ENOENT") throw error;
    const { command } = backend.tools(family);
    log
      .with({ family, backend: "iptables" })
      .warning(
        `${family}: ${command} is not installed, so chain ${chain} stays if it is there: ${error.message}`,
      );
    return [];
  }
}

/** A set that an agent with a longer list, or a lower threshold, has left. */
async function removeStaleSet(
  backend: Backend,
  target: Pick<Ruleset, "chain" | "family">,
  { run, log }: ToolWorld,
): Promise<void> {
  if ((await leftSet(backend, target, run)) === undefined) return;
  for (const script of backend.discardSet(target)) await run(script);
  log
    .with({ family: target.family, backend: "iptables" })
    .info(`${target.family}: removed the set of a list that is short by now`);
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

/** Our rules in force on this node, of either backend, and the steps that would bring them in sync. Changes nothing. */

import { Refusal } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Family } from "../core/cidr.ts";
import { everything, type Interval } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { sourceIntervals } from "../core/sources.ts";
import { type OwnSet, ownSets } from "../iptables/ipset.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import type { Capabilities, IptablesPlanner, Target } from "../iptables/planner.ts";
import { probe } from "../iptables/probe.ts";
import { canonicalListing, tokenize } from "../iptables/rule.ts";
import { type IptablesVariant, isNotInstalled } from "../iptables/tools.ts";
import { connected, openNftables } from "../netlink/socket/transport.ts";
import { planTable, tooManyRules } from "../nftables/plan.ts";
import { CHAIN, keptIntervals, lookedUpBy, ROLES, TABLE, wantedIn } from "../nftables/sets.ts";
import { readWholeTable } from "../nftables/table-reader.ts";
import { CommandError } from "../system/command-error.ts";
import { runUntilNo } from "../system/exec.ts";
import { canSeeLegacyTables, hasLegacyNat } from "../system/legacy-tables.ts";
import type { Answer, Run, Script } from "../system/script.ts";
import { readSet } from "../trace/ipset.ts";
import { readRule, type Sets } from "../trace/iptables-rule.ts";
import { keptByRules } from "../trace/kept-destinations.ts";
import { observedRules } from "../trace/nft/own-table.ts";
import type { OurPackets } from "../trace/rules-about.ts";
import {
  type Content,
  chainPlace,
  changeContents,
  changeElements,
  iptablesContents,
  type RuleChange,
  setPlace,
} from "./rule-changes.ts";

/** The rules in force, compared with the desired ones. */
export interface OwnRules {
  /** The destinations of each family that keep the pod's address now; undefined if the rules match on more than the destination. */
  readonly kept: ReadonlyMap<Family, readonly Interval[] | undefined>;
  readonly changes: readonly RuleChange[];
  readonly plans: readonly Plan[];
}

/** Our table of nftables. Throws a failure. */
export async function readOwnTable(rulesets: readonly Ruleset[], signal: AbortSignal): Promise<OwnRules> {
  return connected(openNftables, async (nftables) => {
    const state = await readWholeTable(nftables, signal);
    const plan = planTable(rulesets, state, nftables.maxBatchBytes);
    const refusal = plan.refusal ?? tooManyRules(plan, rulesets, nftables.maxBatchBytes);
    const isThere = state.chains.some(({ chain }) => chain === CHAIN.chain) && state.table?.dormant === false;
    const kept = new Map<Family, readonly Interval[] | undefined>();
    const changes: RuleChange[] = [];
    for (const ruleset of rulesets) {
      const { family } = ruleset;
      const rules = observedRules(state, CHAIN.chain);
      kept.set(family, isThere ? keptByRules(rules, family, oursOf(ruleset)) : [everything(family)]);
      const key = family === "IPv4" ? "ipv4_addr" : "ipv6_addr";
      const where = `table inet ${TABLE.table} set for ${family}`;
      for (const role of ROLES) {
        // While a set cannot be changed in one transaction there are two; the rules look one of them up.
        const names = lookedUpBy(state.rules, role);
        const found = state.sets.find(({ set }) => set.key === key && names.includes(set.set));
        const place = role === "keep" ? where : `${where} sources`;
        changes.push(...changeElements(place, family, found?.elements ?? [], wantedIn(ruleset, role) ?? []));
      }
    }
    return { kept, changes, plans: [refusal === undefined ? plan : { ...plan, refusal }] };
  });
}

/** Our chains of iptables. Throws a failure. */
export async function readOwnChains(
  rulesets: readonly Ruleset[],
  { variant, ipsetThreshold }: { readonly variant: IptablesVariant; readonly ipsetThreshold: number },
  run: Run,
): Promise<OwnRules> {
  const found = [];
  for (const ruleset of rulesets) found.push(await readOwnChain(ruleset, variant, ipsetThreshold, run));
  return {
    kept: new Map(found.map(({ family, kept }) => [family, kept])),
    changes: found.flatMap(({ changes }) => changes),
    plans: found.map(({ plan }) => plan),
  };
}

interface OwnChain {
  readonly family: Family;
  readonly kept: readonly Interval[] | undefined;
  readonly changes: readonly RuleChange[];
  readonly plan: Plan;
}

async function readOwnChain(
  ruleset: Ruleset,
  variant: IptablesVariant,
  ipsetThreshold: number,
  run: Run,
): Promise<OwnChain> {
  const planner = iptablesPlanner(variant, ipsetThreshold);
  const { family, chain } = ruleset;
  const probed = await probe(planner.tools(family), run);
  const own = await readOwnSets(run, planner, ruleset);
  const capabilities: Capabilities = { ...probed, ...(own.isAvailable ? { ipset: true } : {}) };
  const answers = await inspect(planner.inspection(ruleset, capabilities), family, capabilities, run);
  const listed = planner.parse(ruleset, capabilities, answers);
  const sets = Object.fromEntries(own.sets.map(({ role, elements }) => [role, elements]));
  const observed = { ...listed, sets };
  const plan = planner.plan(ruleset, capabilities, observed);
  if (plan.drift.length === 0 && plan.refusal === undefined)
    return { family, kept: keptIntervals(ruleset), changes: [], plan };
  const texts = (answers[0]?.stdout ?? "").split("\n").filter((line) => line.startsWith(`-A ${chain} `));
  const lines = texts.map((line) => line.slice(`-A ${chain} `.length));
  const contents: Content[] = [
    {
      where: chainPlace(ruleset),
      lines: lines.map((line) => canonicalListing(family, line)),
      isOrdered: true,
    },
    ...own.sets.map(({ name, elements }) => ({ where: setPlace(name), lines: elements, isOrdered: false })),
  ];
  const isInForce = listed.rules !== undefined && listed.jump;
  return {
    family,
    kept: isInForce ? keptByLines(lines, ruleset, setsByName(own.sets)) : [everything(family)],
    changes: changeContents(contents, iptablesContents(ruleset, own.isAvailable ? ipsetThreshold : 0)),
    plan,
  };
}

/** The packets that rules should be about; undefined: all. */
function oursOf({ family, scope, masquerade: { pool } }: Ruleset): OurPackets | undefined {
  if (scope === undefined && pool === undefined) return undefined;
  return { sources: sourceIntervals(family, scope), interfaces: scope?.interfaces ?? [] };
}

function keptByLines(
  lines: readonly string[],
  ruleset: Ruleset,
  sets: Sets,
): readonly Interval[] | undefined {
  const { family } = ruleset;
  const rules = lines.map((text, i) => ({
    number: i + 1,
    text,
    ...readRule(tokenize(text), family, sets, () => false),
  }));
  return keptByRules(rules, family, oursOf(ruleset));
}

/** Any other set that a rule in our chain looks up is drift, so we do not read it. */
function setsByName(sets: OwnSets["sets"]): Sets {
  return new Map(
    sets.flatMap(({ name, answer }) => {
      const set = readSet(answer.stdout);
      return set === undefined ? [] : [[name, set] as const];
    }),
  );
}

/** Does not read a legacy table that does not exist: reading would create it. */
async function inspect(
  scripts: readonly Script[],
  family: Family,
  { variant }: Capabilities,
  run: Run,
): Promise<Answer[]> {
  if (variant === "legacy" && !canSeeLegacyTables(family))
    throw new Refusal(`${family}: only root may see whether there is a legacy nat table: run this as root`);
  if (variant === "legacy" && !hasLegacyNat(family)) return [];
  return runUntilNo(scripts, run);
}

/** Our sets that exist, and whether the tool does. */
interface OwnSets {
  readonly isAvailable: boolean;
  readonly sets: readonly (Pick<OwnSet, "role" | "name"> & {
    readonly elements: readonly string[];
    readonly answer: Answer;
  })[];
}

/** Without the tool there is no set, and the agent would not make one. */
async function readOwnSets(run: Run, planner: IptablesPlanner, target: Target): Promise<OwnSets> {
  const sets = [];
  try {
    for (const set of ownSets(target)) {
      const answer = await run(planner.inspectSet(set));
      const elements = planner.parseSet(answer);
      if (elements !== undefined) sets.push({ role: set.role, name: set.name, elements, answer });
    }
    return { isAvailable: true, sets };
  } catch (error) {
    if (error instanceof CommandError) return { isAvailable: !isNotInstalled(error), sets };
    throw error;
  }
}

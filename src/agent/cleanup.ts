/**
 * Finds everything of ours on this machine, whichever backend made it. Looking changes nothing: a tool is run only
 * where the kernel says that there is a table for it, since some tools make what they are to list.
 *
 * In iptables ours are the chain of the configured name and the jumps with our comment that lead to it, and its sets;
 * in nftables it is the table with our comment. Others' are never touched, but mentioned if an agent made them.
 */

import type { Backend, Capabilities } from "../backend/step.ts";
import { FAMILIES, type Family, NFT_FAMILIES } from "../core/cidr.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { isBuiltIn, rulesOfOthers } from "../iptables/chain-owner.ts";
import { freshSetName, setName } from "../iptables/ipset.ts";
import { LIST_SETS, parseSetNames } from "../iptables/ipset-scripts.ts";
import { type IptablesVariant, iptablesBackend } from "../iptables/plan.ts";
import { probe } from "../iptables/probe.ts";
import { ifFound, isUnsupported, NetlinkUnavailable } from "../netlink/errors.ts";
import { chain as chainQuery, table as tableQuery } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { isAgentTable, isOwnTable } from "../nftables/plan.ts";
import { TABLE } from "../nftables/sets.ts";
import { CommandError } from "../system/command-error.ts";
import type { Run, Script } from "../system/script.ts";

export interface CleanupWorld {
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
  /** The names of a family's legacy tables. */
  readonly legacyTables: (family: Family) => readonly string[];
}

export interface CleanupOptions {
  readonly masqChain: string;
  /** Every chain that a jump of ours leads to, and a table of any agent's. */
  readonly allChains: boolean;
  /** Also chains of ours by name, or by a jump, in which others have all rules. */
  readonly force: boolean;
}

/** Something of ours. */
export interface Find {
  /** As an operator would look for it. */
  readonly place: string;
  /** Throws a failure. Not there any more is fine. */
  readonly remove: () => Promise<void>;
}

/** What is there, in the order in which it has to go, and what could not be looked at or stays. */
export interface Look {
  readonly finds: readonly Find[];
  readonly warnings: readonly string[];
}

type Target = Pick<Ruleset, "chain" | "family">;

interface Looking {
  readonly options: CleanupOptions;
  readonly world: CleanupWorld;
  readonly finds: Find[];
  readonly warnings: string[];
  /** Chains whose sets have to be looked for. */
  readonly targets: Map<string, Target>;
}

/** Looks at every backend. Throws a failure if one that is there cannot be looked at. */
export async function lookForOurs(options: CleanupOptions, world: CleanupWorld): Promise<Look> {
  const targets = FAMILIES.map((family) => ({ family, chain: options.masqChain }));
  const looking: Looking = {
    options,
    world,
    finds: [],
    warnings: [],
    targets: new Map(targets.map((target) => [setName(target), target])),
  };
  const nftables = await open(looking);
  try {
    for (const family of FAMILIES) {
      if (await hasNat(nftables, family, options)) await lookInVariant(looking, "nft", family);
      if (world.legacyTables(family).includes("nat")) await lookInVariant(looking, "legacy", family);
    }
    await lookForSets(looking);
    if (typeof nftables !== "string") await lookForTable(looking, nftables);
  } finally {
    if (typeof nftables !== "string") nftables.close();
  }
  return looking;
}

/** Without the addon the tools still tell; without nf_tables in the kernel there is nothing to look at. */
async function open({ world, warnings }: Looking): Promise<Nftables | "no addon" | "no nf_tables"> {
  try {
    const nftables = await world.open();
    await nftables.generation();
    return nftables;
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    if (!(error instanceof NetlinkUnavailable)) return "no nf_tables";
    warnings.push(`table inet ${TABLE.table} stays if it is there: ${error.message}`);
    return "no addon";
  }
}

/** Whether iptables-nft has something to list. An agent that was killed early has left a chain without POSTROUTING. */
async function hasNat(
  nftables: Awaited<ReturnType<typeof open>>,
  family: Family,
  { masqChain }: CleanupOptions,
): Promise<boolean> {
  if (typeof nftables === "string") return nftables === "no addon";
  for (const chain of ["POSTROUTING", masqChain]) {
    const query = chainQuery({ family: NFT_FAMILIES[family], table: "nat", chain });
    if ((await ifFound(nftables.read(query))) !== undefined) return true;
  }
  return false;
}

async function lookInVariant(looking: Looking, variant: "nft" | "legacy", family: Family): Promise<void> {
  const { options, world, warnings } = looking;
  const tool = await findTool(variant, family, world);
  if (tool === undefined) {
    const { command } = iptablesBackend(variant).tools(family);
    warnings.push(
      `${family}: ${command} is not installed: chain ${options.masqChain} stays there if there is one (Debian: apt-get install iptables)`,
    );
    return;
  }
  const { backend, capabilities } = tool;
  const postrouting = await world.run(backend.inspectLeftovers(family, capabilities));
  const others = backend.parseLeftovers(options.masqChain, postrouting);
  for (const chain of [options.masqChain, ...(options.allChains ? others : [])])
    await lookForChain(looking, tool, { family, chain }, backend.countJumps(chain, postrouting));
  if (options.allChains) return;
  for (const chain of others)
    warnings.push(
      `${family}: chain ${chain} of another agent stays (${backend.tools(family).command}): --masq-chain=${chain} or --all-chains removes it`,
    );
}

interface Tool {
  readonly backend: Backend;
  readonly capabilities: Capabilities;
}

/** The variant's tool by its own name, or the plain one if that is of the variant; undefined if neither is installed. */
async function findTool(
  variant: "nft" | "legacy",
  family: Family,
  { run }: CleanupWorld,
): Promise<Tool | undefined> {
  for (const name of [variant, "path"] satisfies IptablesVariant[]) {
    const backend = iptablesBackend(name);
    try {
      const capabilities = await probe(backend.tools(family), run);
      if (capabilities.variant === (variant === "nft" ? "nf_tables" : "legacy"))
        return { backend, capabilities };
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

async function lookForChain(
  { options, world, finds, warnings, targets }: Looking,
  { backend, capabilities }: Tool,
  target: Target,
  jumps: number,
): Promise<void> {
  const { chain, family } = target;
  const ruleset: Ruleset = { ...target, entries: [], masquerade: { randomFully: false, toPorts: [] } };
  const [list] = backend.inspect(ruleset, capabilities);
  const found = backend.parse(ruleset, capabilities, list === undefined ? [] : [await world.run(list)]);
  const { command } = backend.tools(family);
  // A jump can be forged: it is removed, but what it leads to is judged by its own rules.
  const stays = backend.isOthers(chain, found) && (!options.force || isBuiltIn(chain));
  if (stays) warnings.push(`${family}: ${renderStay(chain, found.rules?.length ?? 0)} (${command})`);
  const observed = stays ? { ...found, rules: undefined } : found;
  if (observed.rules === undefined && jumps === 0) return;
  targets.set(setName(target), target);
  const scripts = backend.remove(target, capabilities, observed, jumps);
  const toIt = jumps === 1 ? "the jump" : `${jumps} jumps`;
  const what = stays
    ? `${toIt} to chain ${chain}`
    : `chain ${chain}${jumps === 0 ? "" : ` and ${toIt} to it`}`;
  finds.push(findOf(`${family}: ${what} (${command})`, scripts, world));
}

function renderStay(chain: string, rules: number): string {
  if (isBuiltIn(chain)) return `chain ${chain} stays: it is one of the kernel's own`;
  return `chain ${chain} stays: it has ${rulesOfOthers(rules)}; --force removes it`;
}

/** Sets go after the chains of all variants, which may look them up. One that is half filled counts too. */
async function lookForSets({ world, finds, warnings, targets }: Looking): Promise<void> {
  const names = await setNames(world);
  for (const target of targets.values()) {
    const name = setName(target);
    if (!names.includes(name) && !names.includes(freshSetName(name))) continue;
    const backend = iptablesBackend("path");
    const found = await world.run(backend.inspectSet(target));
    if (found.exitCode === 0 && backend.parseSet(found) === undefined)
      warnings.push(`${target.family}: set ${name} stays: it is of another type than an agent's (ipset)`);
    else finds.push(findOf(`${target.family}: set ${name} (ipset)`, backend.discardSet(target), world));
  }
}

/** Without the tool there can be sets only if it was taken away since. */
async function setNames({ run }: CleanupWorld): Promise<readonly string[]> {
  try {
    return parseSetNames(await run(LIST_SETS));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function lookForTable({ options, world, finds, warnings }: Looking, nftables: Nftables): Promise<void> {
  const found = await ifFound(nftables.read(tableQuery(TABLE)));
  if (found === undefined) return;
  const place = `table inet ${TABLE.table}`;
  if (options.allChains ? isAgentTable(found) : isOwnTable(found, options.masqChain)) {
    finds.push({ place, remove: () => removeTable(world) });
    return;
  }
  const whose = found.comment === undefined ? "it has no comment" : `its comment is "${found.comment}"`;
  const remedy = isAgentTable(found) ? ": --all-chains removes it" : "";
  warnings.push(
    `${place} stays: ${whose}, so it is not of an agent with --masq-chain=${options.masqChain}${remedy}`,
  );
}

async function removeTable({ open }: CleanupWorld): Promise<void> {
  const nftables = await open();
  try {
    await ifFound(nftables.batch([{ op: "delete table", ...TABLE }]));
  } finally {
    nftables.close();
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

function isMissing(error: unknown): boolean {
  return error instanceof CommandError && error.code === "ENOENT";
}

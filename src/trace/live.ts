/**
 * Reads the rules of this node that can decide about a source address, whichever program made them, and changes nothing: a
 * legacy table only if it exists, since reading would create it. Where a tool fails, it reads over netlink; it reports
 * everything that it could not read, because an answer without it would be incomplete.
 */

import { isFailure } from "../backend/driver.ts";
import { FAMILIES, type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { saveSets } from "../iptables/ipset-scripts.ts";
import { isIncompatible, listSteadily } from "../iptables/listing.ts";
import {
  findTools,
  isNotInstalled,
  kernelInterface,
  type NamedVariant,
  type Tools,
  toolsOf,
} from "../iptables/tools.ts";
import { isUnsupported, NetlinkUnavailable } from "../netlink/errors.ts";
import { CommandError } from "../system/command-error.ts";
import { canSeeLegacyTables, legacyTables } from "../system/legacy-tables.ts";
import type { Run, Script } from "../system/script.ts";
import { membersOf, readSets as parseSets } from "./ipset.ts";
import type { Sets } from "./iptables-rule.ts";
import { type DumpResult, IPTABLES_TABLES, isIptables, parseIptablesSave } from "./iptables-save.ts";
import { ipvsHooks } from "./ipvs.ts";
import { readIpvs } from "./live-ipvs.ts";
import { type NftTables, readOnce, type TableSizes } from "./live-netlink.ts";
import type { Hook } from "./model.ts";
import { parseNftJson } from "./nft/json.ts";

/** The rules found, and the parts that could not be read. */
export interface LiveRules {
  readonly hooks: readonly Hook[];
  readonly notRead: readonly string[];
  /** The parts that were read in a different way, and why. */
  readonly warnings: readonly string[];
}

/** Ways to read besides the tools. */
export interface OtherWays {
  /** Everything in nf_tables, over netlink. */
  readonly readTables: () => Promise<NftTables>;
  /** Only the tables that exist, with their numbers of rules. */
  readonly measureTables: () => Promise<TableSizes>;
  /** The legacy tables that exist, and whether that can be seen. */
  readonly legacyTables?: (family: Family) => readonly string[];
  readonly canSeeLegacyTables?: (family: Family) => boolean;
  /** IPVS's virtual services, as the kernel lists them. */
  readonly readIpvs?: () => string;
}

interface Reader {
  readonly run: Run;
  readonly notRead: string[];
  readonly warnings: string[];
  readonly failures: Error[];
}

const DEADLINE_MS = 60_000;

/** Reads everything. Throws a failure if nothing could be read at all. */
export async function readLiveRules(run: Run, given: OtherWays): Promise<LiveRules> {
  const ways = { ...given, readTables: readOnce(given.readTables) };
  const reader: Reader = { run, notRead: [], warnings: [], failures: [] };
  const nft = await attempt(reader, "tables of nftables", () => readNft(reader, ways));
  const hooks: Hook[] = [...(nft?.hooks ?? [])];
  for (const family of FAMILIES) {
    await readNftVariant(reader, family, nft, hooks, ways);
    hooks.push(...(await readLegacyVariant(reader, family, ways)));
  }
  const services = await attempt(reader, "IPVS", async () => (ways.readIpvs ?? readIpvs)());
  hooks.push(...ipvsHooks(services ?? ""));
  const { notRead, warnings, failures } = reader;
  if (nft === undefined && hooks.length === 0 && failures[0] !== undefined) throw failures[0];
  return { hooks, notRead, warnings };
}

async function attempt<T>(
  { notRead, failures }: Reader,
  what: string,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isFailure(error)) throw error;
    failures.push(error);
    notRead.push(`${what}: not read: ${error.message}`);
    return undefined;
  }
}

/** By nft, and where that fails, or leaves tables out, over netlink. */
async function readNft(reader: Reader, ways: OtherWays): Promise<NftTables> {
  try {
    const found = await askNft(reader.run);
    const odd = differences(found.tables, await measured(ways));
    if (odd.length === 0) return found;
    reader.warnings.push(
      `nft does not show all of ${odd.map((name) => `table ${name}`).join(", ")}: read over netlink`,
    );
  } catch (error) {
    if (!isFailure(error)) throw error;
    const kernel = await readOverNetlink(error, ways);
    // If the tool is not installed, this needs no warning.
    if (!isNotInstalled(error))
      reader.warnings.push(`${error.message.replace(/[:\s]+$/, "")}: read over netlink instead`);
    return kernel;
  }
  return ways.readTables();
}

/**
 * The tables of which nft leaves out rules, or all: 1.0.6 does so silently with expressions that it does not know
 * (tried with `udp dport 4789 vxlan ip saddr 10.0.0.3`).
 */
function differences(shown: TableSizes, there: TableSizes): string[] {
  return [...there].filter(([name, rules]) => shown.get(name) !== rules).map(([name]) => name);
}

/** The sizes of the tables over netlink; nothing where netlink does not work, for then we trust nft. */
async function measured(ways: OtherWays): Promise<TableSizes> {
  try {
    return await ways.measureTables();
  } catch (error) {
    if (isUnsupported(error)) return new Map();
    throw error;
  }
}

/** Reads over netlink in place of a tool that failed. A kernel without nf_tables has no tables. */
async function readOverNetlink(failure: Error, ways: OtherWays): Promise<NftTables> {
  try {
    return await ways.readTables();
  } catch (error) {
    // Without netlink, report the tool's failure, which can be repaired.
    if (error instanceof NetlinkUnavailable) throw failure;
    if (isUnsupported(error)) return { tables: new Map(), hooks: [] };
    throw error;
  }
}

async function askNft(run: Run): Promise<NftTables> {
  const script: Script = {
    file: "nft",
    args: ["-j", "list", "ruleset"],
    purpose: "listing the ruleset",
    deadlineMs: DEADLINE_MS,
  };
  const { stdout, stderr } = await run(script);
  // Of an expression that it does not know, it lists the rest of the rule, and exits with 0.
  const complaint = /^.*\berror\b.*$/im.exec(stderr)?.[0];
  if (complaint !== undefined) throw new CommandError(script, { why: complaint });
  const dump = parseNftJson(stdout);
  return dump.ok ? dump : refuse(script, dump);
}

/**
 * Replaces nft's view of iptables' tables by the view of iptables, because nft hides the conditions of modules; where iptables
 * shows nothing, by the kernel's.
 */
async function readNftVariant(
  reader: Reader,
  family: Family,
  nft: NftTables | undefined,
  hooks: Hook[],
  ways: OtherWays,
): Promise<void> {
  for (const table of IPTABLES_TABLES) {
    const name = `${NFT_FAMILIES[family]} ${table}`;
    // Where nf_tables cannot be read, read the table that always matters with the tool.
    if (nft === undefined ? table !== "nat" : !nft.tables.has(name)) continue;
    const place = `table ${name}`;
    const isHidden = hooks.some((hook) => hook.place === place && hook.isHidden === true);
    const what = `${toolsOf("nft", family).command}, table ${table}`;
    const failed = { ...reader, notRead: [] };
    const found = await attempt(failed, what, () => readIptables(reader, family, "nft", table));
    if (found !== undefined) {
      replaceHooks(hooks, { place, table }, found);
      continue;
    }
    // Where nft or the kernel shows all conditions of the table, iptables would only show them in different words.
    const isNeeded = nft === undefined || (isHidden && !(await takeKernels(hooks, place, ways)));
    (isNeeded ? reader.notRead : reader.warnings).push(...failed.notRead);
  }
}

/** Puts the kernel's view of a table in the place of nft's, if it shows all conditions; whether it does. */
async function takeKernels(hooks: Hook[], place: string, ways: OtherWays): Promise<boolean> {
  const isThere = (hook: Hook) => hook.place === place;
  try {
    const kernels = (await ways.readTables()).hooks.filter(isThere);
    if (kernels.length === 0 || kernels.some(({ isHidden }) => isHidden === true)) return false;
    const at = hooks.findIndex(isThere);
    const [before, after] = [hooks.slice(0, at), hooks.slice(at).filter((hook) => !isThere(hook))];
    hooks.splice(0, hooks.length, ...before, ...kernels, ...after);
    return true;
  } catch (error) {
    if (error instanceof NetlinkUnavailable || isFailure(error)) return false;
    throw error;
  }
}

async function readLegacyVariant(reader: Reader, family: Family, ways: OtherWays): Promise<Hook[]> {
  const hooks: Hook[] = [];
  if (!(ways.canSeeLegacyTables ?? canSeeLegacyTables)(family)) {
    const why = "only root may see whether it has tables";
    reader.notRead.push(`${toolsOf("legacy", family).command}: not read: ${why}`);
  }
  const names = (ways.legacyTables ?? legacyTables)(family);
  for (const table of IPTABLES_TABLES.filter((name) => names.includes(name))) {
    const what = `${toolsOf("legacy", family).command}, table ${table}`;
    const found = await attempt(reader, what, () => readIptables(reader, family, "legacy", table));
    hooks.push(...(found ?? []).map((hook) => ({ ...hook, isOrderUnknown: true })));
  }
  return hooks;
}

/**
 * Puts hooks in the place of those that a table had, for the order of tables is the kernel's. A chain with a different name,
 * type or priority, made in the table with nft, stays: iptables does not show it.
 */
function replaceHooks(
  hooks: Hook[],
  { place, table }: { readonly place: string; readonly table: string },
  found: readonly Hook[],
): void {
  const isShown = (hook: Hook) => hook.place === place && isIptables(table, hook);
  const at = hooks.findIndex(isShown);
  const others = hooks.filter((hook) => !isShown(hook));
  const news =
    at < 0 ? found.filter(({ chains }) => [...chains.values()].some((rules) => rules.length > 0)) : found;
  others.splice(at < 0 ? others.length : at, 0, ...news);
  hooks.splice(0, hooks.length, ...others);
}

async function readIptables(
  reader: Reader,
  family: Family,
  variant: NamedVariant,
  table: string,
): Promise<readonly Hook[]> {
  const script = await saveScript(reader.run, family, variant, table);
  const stdout = await listSteadily(script, variant, async (one) => {
    const answer = await reader.run(one);
    if (isIncompatible(`${answer.stdout}\n${answer.stderr}`))
      throw new CommandError(script, { why: INCOMPATIBLE });
    return answer;
  });
  const result = parseIptablesSave(stdout, await readSets(reader, stdout), table);
  return result.ok ? result.hooks : refuse(script, result);
}

/** iptables-nft then shows nothing of the table; nft's view of it stays. */
const INCOMPATIBLE =
  "rules made with nft are in its table, and so it cannot list it; what nft or the kernel shows of it is used";

/** Saves a table with the variant's tool. */
async function saveScript(run: Run, family: Family, variant: NamedVariant, table: string): Promise<Script> {
  const script = ({ save }: Tools, args: readonly string[]): Script => ({
    file: save,
    args,
    purpose: `saving the ${table} table`,
    deadlineMs: DEADLINE_MS,
  });
  const { mode } = await findTools(variant, family, async (tools) => {
    const { stdout } = await run(script(tools, ["--version"]));
    return { variant: kernelInterface(stdout) };
  });
  return script(toolsOf(mode, family), ["-t", table]);
}

/** The ipsets that a dump looks up. A rule that looks up a set of a type that is not known depends on it, and says so. */
export async function readSets(reader: Reader, dump: string): Promise<Sets> {
  const names = new Set([...dump.matchAll(/--match-set (\S+)/g)].map(([, name]) => name ?? ""));
  const saved = await saveAll(reader, [...names]);
  const members = membersOf(saved).filter((name) => !names.has(name));
  return parseSets(saved + (await saveAll(reader, members)));
}

async function saveAll(reader: Reader, names: readonly string[]): Promise<string> {
  let text = "";
  for (const script of saveSets(names)) {
    const [, name] = script.args;
    const what = name === undefined ? "ipsets" : `ipset ${name}`;
    text += (await attempt(reader, what, () => reader.run(script)))?.stdout ?? "";
  }
  return text;
}

/** A listing that cannot be read is a failure of the tool. */
function refuse(script: Script, { line, message }: Extract<DumpResult, { ok: false }>): never {
  throw new CommandError(script, { why: `its output, line ${line}: ${message}` });
}

/**
 * Reads the rules of this node that can decide about a source address, whoever made them, and changes nothing: of a
 * legacy table only if it exists, for the look would make it.
 */
import type { Answer, Script } from "../backend/backend.ts";
import { isIncompatible } from "../backend/incompatible.ts";
import { readSet } from "../backend/ipset-read.ts";
import type { Sets } from "../backend/iptables-match.ts";
import type { DumpResult } from "../backend/iptables-save.ts";
import { parseIptablesSave } from "../backend/iptables-save.ts";
import { parseNftJson } from "../backend/nft-json.ts";
import type { Hook } from "../backend/trace-model.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import { isFailure } from "./driver.ts";
import { CommandError } from "./exec.ts";
import { canSeeLegacyTables, legacyTables } from "./legacy.ts";

type Run = (script: Script) => Promise<Answer>;

/** What was found, and what could not be looked at. */
export interface LiveRules {
  readonly hooks: readonly Hook[];
  readonly warnings: readonly string[];
}

const DEADLINE_MS = 60_000;
const COMMANDS: Readonly<Record<Family, string>> = { IPv4: "iptables", IPv6: "ip6tables" };
/** How nft calls the tables that iptables-nft makes. */
const NFT_NAT: Readonly<Record<Family, string>> = { IPv4: "table ip nat", IPv6: "table ip6 nat" };

/** Reads everything; `tables` names the legacy tables that exist. Throws a `CommandError` if nothing could be read at all. */
export async function readLiveRules(
  run: Run,
  readNetlink: () => Promise<readonly Hook[]>,
  tables: (family: Family) => readonly string[] = legacyTables,
): Promise<LiveRules> {
  const warnings: string[] = [];
  const failures: Error[] = [];
  const attempt = async (
    what: string,
    read: () => Promise<readonly Hook[]>,
  ): Promise<readonly Hook[] | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!isFailure(error)) throw error;
      failures.push(error);
      warnings.push(`${what}: not looked at: ${error.message}`);
      return undefined;
    }
  };
  const nft = await attempt("tables of nftables", () => readNft(run).catch(orElse(readNetlink)));
  const hooks: Hook[] = [...(nft ?? [])];
  for (const family of FAMILIES) {
    const isThere = nft === undefined || hooks.some(({ place }) => place === NFT_NAT[family]);
    const found = isThere
      ? await attempt(`${COMMANDS[family]}-nft`, () => readIptables(run, family, "nft"))
      : undefined;
    if (found !== undefined) replaceHooks(hooks, NFT_NAT[family], found);
    if (!canSeeLegacyTables(family))
      warnings.push(
        `${COMMANDS[family]}-legacy: not looked at: only root may see whether it has a nat table`,
      );
    if (!tables(family).includes("nat")) continue;
    const legacy = await attempt(`${COMMANDS[family]}-legacy`, () => readIptables(run, family, "legacy"));
    hooks.push(...(legacy ?? []).map((hook) => ({ ...hook, isOrderUnknown: true })));
  }
  if (nft === undefined && hooks.length === 0 && failures[0] !== undefined) throw failures[0];
  return { hooks, warnings };
}

/** Puts what iptables says of its table in place of what nft shows of it, for the order of tables is the kernel's. */
function replaceHooks(hooks: Hook[], place: string, found: readonly Hook[]): void {
  const at = hooks.findIndex((hook) => hook.place === place);
  if (at >= 0) hooks.splice(at, 1, ...found);
  else hooks.push(...found.filter(({ chains }) => [...chains.values()].some((rules) => rules.length > 0)));
}

/** Without the tool, the kernel can be asked itself, which tells less of what others have made. */
function orElse<T>(read: () => Promise<T>): (error: unknown) => Promise<T> {
  return (error) => {
    if (error instanceof CommandError && error.code === "ENOENT") return read();
    throw error;
  };
}

async function readNft(run: Run): Promise<readonly Hook[]> {
  const script: Script = {
    file: "nft",
    args: ["-j", "list", "ruleset"],
    purpose: "listing the ruleset",
    deadlineMs: DEADLINE_MS,
  };
  const { stdout } = await run(script);
  return hooksOf(parseNftJson(stdout), script);
}

async function readIptables(run: Run, family: Family, variant: "nft" | "legacy"): Promise<readonly Hook[]> {
  const script = await saveScript(run, COMMANDS[family], variant);
  const { stdout, stderr } = await run(script);
  if (isIncompatible(`${stdout}\n${stderr}`)) throw new CommandError(script, { why: INCOMPATIBLE });
  return hooksOf(parseIptablesSave(stdout, await readSets(run, stdout)), script);
}

/** iptables-nft then shows nothing of the table; what nft shows of it stays. */
const INCOMPATIBLE =
  "rules made with nft are in its table, and so it cannot list it; nft's listing is used, which does not show all conditions of iptables";

/** Without a tool for the variant by its name, `iptables-save` may be of that variant. */
async function saveScript(run: Run, command: string, variant: "nft" | "legacy"): Promise<Script> {
  const script = (file: string, args: readonly string[]): Script => ({
    file,
    args,
    purpose: "saving the nat table",
    deadlineMs: DEADLINE_MS,
  });
  const named = `${command}-${variant}-save`;
  try {
    await run(script(named, ["--version"]));
    return script(named, ["-t", "nat"]);
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== "ENOENT") throw error;
    const { stdout } = await run(script(`${command}-save`, ["--version"]));
    if (stdout.includes("nf_tables") !== (variant === "nft")) throw error;
    return script(`${command}-save`, ["-t", "nat"]);
  }
}

/** The ipsets that a dump asks for, as far as they can be read. */
async function readSets(run: Run, dump: string): Promise<Sets> {
  const names = new Set([...dump.matchAll(/--match-set (\S+)/g)].map(([, name]) => name ?? ""));
  const sets = new Map();
  for (const name of names) {
    try {
      const { stdout } = await run({
        file: "ipset",
        args: ["save", name],
        purpose: `reading the set ${name}`,
        deadlineMs: DEADLINE_MS,
      });
      const set = readSet(stdout);
      if (set !== undefined) sets.set(name, set);
    } catch (error) {
      // A rule that asks for it then depends on it, and says so.
      if (!(error instanceof CommandError)) throw error;
    }
  }
  return sets;
}

/** A listing by iptables-nft can end early without a word while somebody commits. */
function hooksOf(result: DumpResult, script: Script): readonly Hook[] {
  if (result.ok) return result.hooks;
  throw new CommandError(script, { why: `its output, line ${result.line}: ${result.message}` });
}

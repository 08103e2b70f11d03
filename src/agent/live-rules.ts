/**
 * Reads the rules of this node that can decide about a source address, whoever made them, and changes nothing: of a
 * legacy table only if it exists, for the look would make it.
 */
import { networkInterfaces } from "node:os";
import type { Answer, Script } from "../backend/backend.ts";
import { readSet } from "../backend/ipset-read.ts";
import type { Sets } from "../backend/iptables-match.ts";
import type { DumpResult } from "../backend/iptables-save.ts";
import { parseIptablesSave } from "../backend/iptables-save.ts";
import { parseNftJson } from "../backend/nft-json.ts";
import type { LocalAddresses } from "../backend/trace-match.ts";
import type { Hook } from "../backend/trace-model.ts";
import { type Cidr, FAMILIES, type Family, isCidr, parseCidr } from "../core/cidr.ts";
import { longestPrefixIntervals } from "../core/intervals.ts";
import { CommandError } from "./exec.ts";
import { legacyTables } from "./legacy.ts";

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
  tables: (family: Family) => readonly string[] = legacyTables,
): Promise<LiveRules> {
  const warnings: string[] = [];
  const failures: CommandError[] = [];
  const attempt = async (
    what: string,
    read: () => Promise<readonly Hook[]>,
  ): Promise<readonly Hook[] | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      failures.push(error);
      warnings.push(`${what}: not looked at: ${error.message}`);
      return undefined;
    }
  };
  const nft = await attempt("tables of nftables", () => readNft(run));
  const hooks: Hook[] = [...(nft ?? [])];
  for (const family of FAMILIES) {
    const found = await attempt(`${COMMANDS[family]}-nft`, () => readIptables(run, family, "nft"));
    if (found !== undefined) replaceHooks(hooks, NFT_NAT[family], found);
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

async function readNft(run: Run): Promise<readonly Hook[]> {
  const { stdout } = await run({
    file: "nft",
    args: ["-j", "list", "ruleset"],
    purpose: "listing the ruleset",
    deadlineMs: DEADLINE_MS,
  });
  return hooksOf(parseNftJson(stdout), "nft -j list ruleset");
}

async function readIptables(run: Run, family: Family, variant: "nft" | "legacy"): Promise<readonly Hook[]> {
  const { stdout } = await run(await saveScript(run, COMMANDS[family], variant));
  return hooksOf(parseIptablesSave(stdout, await readSets(run, stdout)), `${COMMANDS[family]}-save`);
}

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

/** A listing of our own making that cannot be read is a bug, not a matter of the node. */
function hooksOf(result: DumpResult, what: string): readonly Hook[] {
  if (!result.ok) throw new Error(`${what}, line ${result.line}: ${result.message}`);
  return result.hooks;
}

/** This machine's own addresses. */
export function ownAddresses(): LocalAddresses {
  return localAddresses(ownNetworks().map(({ address }) => address));
}

/** The addresses of this machine's interfaces with the networks that they are in, but for loopback. */
export function ownNetworks(): readonly {
  readonly device: string;
  readonly address: string;
  readonly cidr: Cidr;
}[] {
  return Object.entries(networkInterfaces()).flatMap(([device, addresses = []]) =>
    addresses.flatMap(({ address, cidr, internal }) => {
      const network = internal || cidr === null ? undefined : networkOf(cidr);
      return network === undefined ? [] : [{ device, address, cidr: network }];
    }),
  );
}

function networkOf(text: string): Cidr | undefined {
  const cidr = parseCidr(text);
  if (isCidr(cidr)) return cidr;
  const network = cidr.reason === "unaligned" ? parseCidr(cidr.network) : undefined;
  return network !== undefined && isCidr(network) ? network : undefined;
}

/** These addresses, and loopback's, which every node has. */
export function localAddresses(addresses: readonly string[]): LocalAddresses {
  const texts = [
    "127.0.0.0/8",
    "::1/128",
    ...addresses.map((text) => `${text}/${text.includes(":") ? 128 : 32}`),
  ];
  const choices = texts
    .map(parseCidr)
    .filter(isCidr)
    .map((cidr) => ({ cidr, included: true }));
  const ofFamily = (family: Family) =>
    longestPrefixIntervals(choices.filter(({ cidr }) => cidr.family === family));
  return { IPv4: ofFamily("IPv4"), IPv6: ofFamily("IPv6") };
}

/**
 * nf_tables for `doctor`: our own table over netlink, and the base chains of others with the nft tool, which shows all that their
 * rules ask. Nothing of kube-proxy's but single chains is listed: its tables can have 100,000 rules.
 */

import { attempt } from "../backend/attempt.ts";
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import type {
  Family as NftFamily,
  ObservedChain,
  ObservedStatement,
  TableName,
} from "../netlink/operations.ts";
import { chains, rules, sets, tables } from "../netlink/query.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { TABLE } from "../nftables/sets.ts";
import { CommandError } from "../system/command-error.ts";
import type { Fact } from "../system/fact.ts";
import type { Run, Script } from "../system/script.ts";
import { readNftTables } from "../trace/live-netlink.ts";
import type { TraceRule } from "../trace/model.ts";
import { parseNftChains } from "../trace/nft/json.ts";
import type { HookChain, NftFacts } from "./facts.ts";
import { hookChains, ruleOf } from "./nft-rules.ts";

/** What is there. */
export interface NftRead extends NftFacts {
  readonly tables: readonly TableName[];
  /** Every base chain of a table that packets of IP pass. */
  readonly bases: readonly Base[];
}

/** A base chain, and where it is. */
export type Base = TableName &
  Pick<ObservedChain, "chain"> & { readonly base: NonNullable<ObservedChain["base"]> };

const DEADLINE_MS = 30_000;

/** More chains than this are not followed from one base chain. */
const MAX_CHAINS = 50;

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ip: ["IPv4"],
  ip6: ["IPv6"],
  inet: ["IPv4", "IPv6"],
};

/** The chains that iptables makes and lists. */
const IPTABLES = /^ip6? (nat|filter|mangle|raw|security) (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/;

export interface NftWorld {
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
  readonly signal: AbortSignal;
}

/** Reads our table and the names of all base chains, over a connection of its own. */
export function readNftables({ open }: Pick<NftWorld, "open">): Promise<Fact<NftRead>> {
  return attempt("rules of nftables", () => connected(open, read));
}

async function read(nftables: Nftables): Promise<NftRead> {
  const all = await nftables.read(tables());
  const ofIp = all.filter(({ family }) => FAMILIES[family] !== undefined);
  const named = ofIp.map(({ family, table }) => ({ family: family as NftFamily, table }));
  const bases: Base[] = [];
  for (const name of named) {
    if (ofIp.some((one) => one.dormant && one.family === name.family && one.table === name.table)) continue;
    for (const { chain, base } of await nftables.read(chains(name))) {
      if (base !== undefined) bases.push({ ...name, chain, base });
    }
  }
  const own = all.find(({ family, table }) => family === TABLE.family && table === TABLE.table);
  if (own === undefined) return { tables: named, bases, own };
  const base = bases.find((one) => isOwn(one) && isNat(one));
  const listed = base === undefined ? [] : await nftables.read(rules(base));
  return {
    tables: named,
    bases,
    own: {
      comment: own.comment,
      dormant: own.dormant,
      sets: (await nftables.read(sets(TABLE))).length,
      rules: listed.length,
      masquerades: endsWithMasquerade(listed),
    },
  };
}

function isOwn({ family, table }: TableName): boolean {
  return family === TABLE.family && table === TABLE.table;
}

function isNat({ base }: Base): boolean {
  return base.type === "nat" && base.hook === "postrouting";
}

function isIptables({ family, table, chain }: Base): boolean {
  return IPTABLES.test(`${family} ${table} ${chain}`);
}

/** Whether iptables has a table of that name in nf_tables. */
export function hasTable(all: readonly TableName[], family: Family, name: string): boolean {
  return all.some((one) => one.family === NFT_FAMILIES[family] && one.table === name);
}

/**
 * The chains of others that can translate at postrouting; of `incompatible` families also that which iptables calls POSTROUTING.
 * kube-proxy's masquerade what it has marked, and pods' traffic to themselves.
 */
export async function readNatHooks(
  bases: readonly Base[],
  incompatible: readonly Family[],
  world: NftWorld,
): Promise<readonly Fact<HookChain>[]> {
  const isMeant = (one: Base) =>
    isNat(one) &&
    !isOwn(one) &&
    one.table !== "kube-proxy" &&
    (!isIptables(one) || incompatible.some((family) => FAMILIES[one.family]?.includes(family)));
  const read = bases.filter(isMeant).map(async (base) => {
    const what = `rules of table ${base.family} ${base.table}`;
    return split(await attempt(what, () => listTable(base, world)), base);
  });
  return (await Promise.all(read)).flat();
}

/** Without the tool, or where it fails, the kernel is asked. */
async function listTable(
  base: Base,
  { run, open, signal }: NftWorld,
): Promise<ReadonlyMap<string, readonly TraceRule[]>> {
  try {
    const { stdout } = await run(listing("table", base));
    const found = parseNftChains(stdout);
    if (found !== undefined) return found;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  const { hooks } = await connected(open, (nftables) => readNftTables(nftables, signal));
  return hooks.find(({ place }) => place === `table ${base.family} ${base.table}`)?.chains ?? new Map();
}

/**
 * Chains of others past conntrack that what is forwarded passes, and what of them an INVALID packet can come to; also those of
 * iptables' tables that are `hidden` from it.
 */
export async function readForwardHooks(
  bases: readonly Base[],
  hidden: readonly string[],
  world: NftWorld,
): Promise<readonly Fact<HookChain>[]> {
  const isMeant = (one: Base) =>
    (!isIptables(one) || hidden.includes(`${FAMILIES[one.family]?.join()} ${one.table}`)) &&
    one.base.type !== "nat" &&
    ["prerouting", "forward", "postrouting"].includes(one.base.hook) &&
    one.base.priority > CONNTRACK_PRIORITY;
  const read = bases.filter(isMeant).map(async (base) => {
    const what = `chain ${base.family} ${base.table} ${base.chain}`;
    const found = await attempt(what, () => listChains(base, world));
    return split("value" in found ? found : { ...found, minor: true }, base);
  });
  return (await Promise.all(read)).flat();
}

/** NF_IP_PRI_CONNTRACK: before it, no packet has a state. */
const CONNTRACK_PRIORITY = -200;

async function listChains(base: Base, { run }: NftWorld): Promise<ReadonlyMap<string, readonly TraceRule[]>> {
  const found = new Map<string, readonly TraceRule[]>();
  const waiting = [base.chain];
  for (let chain = waiting.shift(); chain !== undefined; chain = waiting.shift()) {
    if (found.has(chain)) continue;
    const script = listing("chain", base, chain);
    if (found.size >= MAX_CHAINS)
      throw new CommandError(script, { why: `it leads to more than ${MAX_CHAINS} chains` });
    const listed = parseNftChains((await run(script)).stdout)?.get(chain);
    if (listed === undefined)
      throw new CommandError(script, { why: "its output is no listing of that chain" });
    found.set(chain, listed);
    for (const { conditions, action } of listed) {
      const isForInvalid =
        ruleOf(chain, { conditions, action, text: "" }, "IPv4").scope.states?.invalid !== false;
      if (isForInvalid && (action.kind === "jump" || action.kind === "goto")) waiting.push(action.chain);
    }
  }
  return found;
}

function listing(what: "table" | "chain", { family, table }: TableName, ...chain: readonly string[]): Script {
  return {
    file: "nft",
    args: ["-j", "list", what, family, table, ...chain],
    purpose: `listing ${what} ${[family, table, ...chain].join(" ")}`,
    deadlineMs: DEADLINE_MS,
  };
}

/** One for each family that passes the chain. */
function split(
  fact: Fact<ReadonlyMap<string, readonly TraceRule[]>>,
  { family, table, chain, base }: Base,
): readonly Fact<HookChain>[] {
  if (!("value" in fact)) return [fact];
  const { priority, policy } = base;
  return (FAMILIES[family] ?? []).map((one) => ({
    value: {
      family: one,
      place: `table ${family} ${table}`,
      chain,
      priority,
      policy: policy === "drop" ? "drop" : "accept",
      chains: hookChains(fact.value, one),
    },
  }));
}

/** Where links decide, a last rule counts and returns the packets that leave through others. */
function endsWithMasquerade(
  rules: readonly { readonly statements: readonly ObservedStatement[] }[],
): boolean {
  const kindsOf = (at: number) => rules.at(at)?.statements.map(({ kind }) => kind) ?? [];
  const masquerades = (at: number) => kindsOf(at).some((kind) => kind === "masquerade" || kind === "snat");
  const isCounting = kindsOf(-1).join() === "nfproto,counter,verdict";
  return masquerades(-1) || (isCounting && masquerades(-2));
}

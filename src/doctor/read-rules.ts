/**
 * Reads all rules on the way of pods' packets, each once: tables of iptables by the tool that made them, for only it shows all that
 * their rules ask, and all others over netlink. Nothing is changed: a legacy table is saved only if it exists.
 */

import { attempt } from "../backend/attempt.ts";
import { readSteadily } from "../backend/read-steadily.ts";
import { FAMILIES, type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { ownAddresses } from "../system/addresses.ts";
import { type Fact, isKnown } from "../system/fact.ts";
import { readLegacyTables } from "../system/legacy-tables.ts";
import { reachableRules } from "../trace/chain-index.ts";
import { type BaseChain, IPTABLES_TABLES, isIptables } from "../trace/iptables-save.ts";
import { measureTables, readNftTable } from "../trace/live-netlink.ts";
import type { Hook } from "../trace/model.ts";
import { decidesSource } from "./base-chains.ts";
import type { Facts, NatTable } from "./facts.ts";
import {
  describePlace,
  INCOMPATIBLE,
  type IptablesWorld,
  type Place,
  saveTable,
  toolsFor,
} from "./read-iptables.ts";

export interface RulesWorld extends IptablesWorld {
  readonly open: () => Promise<Nftables>;
  readonly signal: AbortSignal;
  readonly proc: string;
}

/** The rules as `doctor` reads them. */
export type RulesFacts = Pick<Facts, "nat" | "incompatible" | "trace" | "notTraced">;

/** To read a table with more would take memory that an agent's container may not have. */
const MANY_RULES = 50_000;

/** The number of attempts to read without a commit meanwhile. */
const ATTEMPTS = 3;

/** While all is read. */
interface Reading {
  readonly hooks: Hook[];
  readonly nat: Fact<NatTable>[];
  readonly incompatible: Family[];
  readonly notRead: Fact<never>[];
}

export async function readRules(world: RulesWorld): Promise<RulesFacts> {
  const { open, signal } = world;
  const steady = await attempt("tables of nftables", () =>
    connected(open, (nftables) => readSteadily(nftables, () => readAll(nftables, world), ATTEMPTS, signal)),
  );
  // Where netlink cannot be asked, the tools may; that nf_tables cannot be read is said with the reason.
  const found = isKnown(steady) ? steady.value.value : await readAll(undefined, world);
  const isMoving = isKnown(steady) && !steady.value.isSteady;
  const moving = `others commit so fast that the rules changed each of the ${ATTEMPTS} times they were read`;
  const { hooks, nat, incompatible, notRead } = found;
  return {
    nat,
    incompatible,
    trace: { value: { hooks, local: ownAddresses() } },
    notTraced: [...notRead, ...(isMoving ? [{ unknown: "rules of one moment", why: moving }] : [])],
  };
}

async function readAll(nftables: Nftables | undefined, world: RulesWorld): Promise<Reading> {
  const reading: Reading = { hooks: [], nat: [], incompatible: [], notRead: [] };
  if (nftables === undefined) {
    for (const family of FAMILIES) await readPlace({ family, variant: "nft", table: "nat" }, reading, world);
  } else await readNftables(nftables, reading, world);
  for (const family of FAMILIES) await readLegacy(family, reading, world);
  return reading;
}

/** The tables of nf_tables, in their order. */
async function readNftables(nftables: Nftables, reading: Reading, world: RulesWorld): Promise<void> {
  const sizes = await measureTables(nftables, world.signal);
  for (const [name, rules] of sizes) {
    const place = placeOf(name);
    if (rules > MANY_RULES) {
      const unknown = place === undefined ? `rules of table ${name}` : describePlace(place, world.tool);
      reading.notRead.push({ unknown, why: tooMany(rules) });
      continue;
    }
    const isSeen = place !== undefined && (await readPlace(place, reading, world, true));
    const isShown = (chain: BaseChain) => place !== undefined && isSeen && isIptables(place.table, chain);
    const { hooks, leftOut } = await readNftTable(nftables, name, world.signal, isShown);
    reading.hooks.push(...hooks);
    const asked = hooks.filter(decidesSource).flatMap(reachableRules);
    const needed = leftOut.filter(
      (set) => isUnnamed(set) || asked.some(({ text }) => text.includes(`@${set}`)),
    );
    for (const set of needed)
      reading.notRead.push({ unknown: `set ${set} of table ${name}`, why: TOO_LARGE });
  }
  for (const family of FAMILIES)
    if (!sizes.has(`${NFT_FAMILIES[family]} nat`)) addNat({ family, variant: "nft" }, [], reading, world);
}

const TOO_LARGE = "it has too many elements: ip-masq-agent explain --live follows single packets";

/** nft names sets in braces like this. */
function isUnnamed(set: string): boolean {
  return /^__(set|map)\d+$/.test(set);
}

function tooMany(rules: number): string {
  return `it has ${rules} rules, and doctor reads at most ${MANY_RULES} of a table: ip-masq-agent explain --live follows single packets through all of them`;
}

/** A table of nf_tables that iptables shows. */
function placeOf(name: string): Place | undefined {
  const family = FAMILIES.find((one) => name.startsWith(`${NFT_FAMILIES[one]} `));
  const table = IPTABLES_TABLES.find((one) => name.endsWith(` ${one}`));
  const isWhole = family !== undefined && table !== undefined && name === `${NFT_FAMILIES[family]} ${table}`;
  return isWhole ? { family, variant: "nft", table } : undefined;
}

async function readLegacy(family: Family, reading: Reading, world: RulesWorld): Promise<void> {
  const nat = { family, variant: "legacy", table: "nat" } as const;
  const names = readLegacyTables(family, describePlace(nat, world.tool), world.proc);
  if (!isKnown(names)) {
    reading.nat.push(names);
    return;
  }
  for (const table of IPTABLES_TABLES.filter((one) => names.value.includes(one)))
    await readPlace({ ...nat, table }, reading, world);
  if (!names.value.includes("nat")) addNat(nat, [], reading, world);
}

/** Notes the table as its tool shows it; false if it shows nothing of it. */
async function readPlace(
  place: Place,
  reading: Reading,
  world: RulesWorld,
  isSteady = false,
): Promise<boolean> {
  const saved = await saveTable(place, world, isSteady);
  if (saved === INCOMPATIBLE) {
    if (place.table === "nat") reading.incompatible.push(place.family);
    return false;
  }
  if (!isKnown(saved)) {
    (place.table === "nat" ? reading.nat : reading.notRead).push(saved as Fact<never>);
    return false;
  }
  reading.hooks.push(...saved.value);
  if (place.table === "nat") addNat(place, saved.value, reading, world);
  return true;
}

function addNat(
  { family, variant }: Pick<Place, "family" | "variant">,
  hooks: readonly Hook[],
  { nat }: Reading,
  { tool }: RulesWorld,
): void {
  const hook = hooks.find((one) => one.hook === "postrouting");
  const { command } = toolsFor({ family, variant }, tool);
  nat.push({ value: { family, variant, tool: command, chains: hooks[0]?.chains ?? new Map(), hook } });
}

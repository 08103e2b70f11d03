/** The rules of every packet filter of the node, as its tools list them: what `explain --rules` reads. */

import { FAMILIES, type Family, IPTABLES, NFT_FAMILIES } from "../core/cidr.ts";
import { findTools, kernelInterface, type NamedVariant, type Tools, toolsOf } from "../iptables/tools.ts";
import { legacyTables } from "../system/legacy-tables.ts";
import type { Answer, Script } from "../system/script.ts";
import { IPTABLES_TABLES } from "../trace/iptables-save.ts";
import type { TableSizes } from "../trace/live-netlink.ts";
import { PART_MS, type PartWorld, readPart } from "./part.ts";

export interface RulesWorld extends PartWorld {
  readonly run: (script: Script, signal: AbortSignal) => Promise<Answer>;
  /** The tables of nf_tables, as `ip nat`, and how many rules each has. */
  readonly measure: (signal: AbortSignal) => Promise<TableSizes>;
}

/** A table with more is named and not listed: to read it takes memory that the agent's container may not have. */
const MAX_RULES = 5_000;
/** The maximum of listed tables of nf_tables. */
const MAX_TABLES = 40;
/** A longer listing comes from large sets: list it without their elements. */
const MAX_LISTING = 8 * 1024 * 1024;
/** nft reads its arguments as commands, and a name of nf_tables may have any character: "x; flush ruleset". */
const PLAIN_NAME = /^[A-Za-z_][\w.-]*$/;

const VARIANTS = (["nft", "legacy"] as const).flatMap((variant) =>
  FAMILIES.map((family) => [variant, family] as const),
);

/** Each filter's rules, or why they could not be read. */
export async function readRules(world: RulesWorld): Promise<unknown> {
  const sizes = world.measure(world.signal);
  // Each part that needs it says so.
  sizes.catch(() => {});
  const saves = VARIANTS.map(([variant, family]) => {
    const what = `${IPTABLES[family]}-${variant}-save`;
    const read = (signal: AbortSignal) => readSaved(variant, family, sizes, { ...world, signal });
    return [what, readPart(what, read, world)] as const;
  });
  const parts = [
    ["nftables", readPart("nftables", async (signal) => readNft(await sizes, { ...world, signal }), world)],
    ...saves,
    ["ipset", readPart("ipset", (signal) => list("ipset", ["save"], { ...world, signal }), world)],
  ] as const;
  return Object.fromEntries(await Promise.all(parts.map(async ([what, read]) => [what, await read])));
}

/** Table by table, so that one that is too long does not hide the others. */
async function readNft(sizes: TableSizes, world: RulesWorld): Promise<unknown> {
  const names = [...sizes.keys()];
  const isListed = (name: string) => (sizes.get(name) ?? 0) <= MAX_RULES && isPlain(name);
  const listed = names.filter(isListed).slice(0, MAX_TABLES);
  const tables = [];
  for (const name of listed)
    tables.push(await readPart(name, (signal) => nftTable(name, world, signal), world));
  return {
    sizes: Object.fromEntries(sizes),
    leftOut: names.filter((name) => !listed.includes(name)),
    notRead: tables.filter((table) => !Array.isArray(table)),
    nftables: tables.filter(Array.isArray).flat(),
  };
}

async function nftTable(name: string, { run }: RulesWorld, signal: AbortSignal): Promise<unknown> {
  const [family = "", table = ""] = splitName(name);
  const list = async (...more: readonly string[]) =>
    (await run(script("nft", ["-j", ...more, "list", "table", family, table]), signal)).stdout;
  const whole = await list();
  return JSON.parse(whole.length <= MAX_LISTING ? whole : await list("-t")).nftables;
}

/** `inet filter` as its two words. */
function splitName(name: string): readonly [string, string] {
  const at = name.indexOf(" ");
  return [name.slice(0, at), name.slice(at + 1)];
}

function isPlain(name: string): boolean {
  return PLAIN_NAME.test(splitName(name)[1]);
}

/** Only tables that exist: a look at another would make it. */
async function readSaved(
  variant: NamedVariant,
  family: Family,
  sizes: Promise<TableSizes>,
  world: RulesWorld,
): Promise<unknown> {
  const tables = variant === "legacy" ? legacyTables(family) : [...(await sizes).keys()].map(nameIn(family));
  const existing = IPTABLES_TABLES.filter((table) => tables.includes(table));
  if (existing.length === 0) return {};
  const { save } = await toolsFor(variant, family, world);
  const saved: Record<string, unknown> = {};
  for (const table of existing) {
    const what = `${save} -t ${table}`;
    const rules = variant === "nft" ? ((await sizes).get(`${NFT_FAMILIES[family]} ${table}`) ?? 0) : 0;
    saved[table] =
      rules > MAX_RULES
        ? { unknown: what, why: `it has ${rules} rules` }
        : await readPart(what, (signal) => list(save, ["-t", table], { ...world, signal }), world);
  }
  return saved;
}

/** The table's name, if it is of that family. */
function nameIn(family: Family): (name: string) => string {
  return (name) => {
    const [theirs, table] = splitName(name);
    return theirs === NFT_FAMILIES[family] ? table : "";
  };
}

async function toolsFor(
  variant: NamedVariant,
  family: Family,
  { run, signal }: RulesWorld,
): Promise<Pick<Tools, "save">> {
  const { mode } = await findTools(variant, family, async ({ save }) => {
    const { stdout } = await run(script(save, ["--version"]), signal);
    return { variant: kernelInterface(stdout) };
  });
  return toolsOf(mode, family);
}

async function list(
  file: string,
  args: readonly string[],
  { run, signal }: RulesWorld,
): Promise<readonly string[]> {
  const { stdout, stderr } = await run(script(file, args), signal);
  return `${stdout}\n${stderr}`.split("\n").filter((line) => line !== "");
}

function script(file: string, args: readonly string[]): Script {
  return { file, args, purpose: "listing rules", deadlineMs: PART_MS };
}

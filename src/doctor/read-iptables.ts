/** The packet filter's rules for `doctor`: asked of the tools and over netlink, and never so that the question changes anything. */
import { attempt } from "../backend/attempt.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import { LIST_SETS, parseSetNames } from "../iptables/ipset-scripts.ts";
import { isIncompatible, listSteadily } from "../iptables/listing.ts";
import { probe } from "../iptables/probe.ts";
import { type IptablesVariant, toolsOf } from "../iptables/tools.ts";
import { derive, type Fact, isKnown } from "../system/fact.ts";
import { readLegacyTables } from "../system/legacy-tables.ts";
import type { Run, Script } from "../system/script.ts";
import { readSets } from "../trace/live.ts";
import type { HookChain, NatTable, Variant } from "./facts.ts";
import { parseNatListing, policyOf } from "./nat-listing.ts";

const DEADLINE_MS = 30_000;

/** The configured tool of a family. */
export interface Tool {
  readonly mode: IptablesVariant;
  readonly command: string;
  readonly version: string;
  readonly variant: Variant;
  /** The flags that make it wait for the lock. */
  readonly wait: readonly string[];
}

/** What the iptables is that the agent would run. `--version` does not ask the kernel. */
export function readTool(mode: IptablesVariant, run: Run): Promise<Fact<Tool>> {
  const tools = toolsOf(mode, "IPv4");
  return attempt(`which iptables ${tools.command} is`, async () => {
    const { version, variant, wait } = await probe(tools, run);
    return { mode, command: tools.command, version, variant: variant === "legacy" ? "legacy" : "nft", wait };
  });
}

interface RulesWorld {
  readonly run: Run;
  readonly proc: string;
  readonly tool: Tool | undefined;
  /** Whether nf_tables may have a table of the family; asking for one that is not there is only a waste. */
  readonly hasNftTable: (family: Family, table: string) => boolean;
}

type Place = Pick<NatTable, "family" | "variant">;

const PLACES: readonly Place[] = FAMILIES.flatMap((family) =>
  (["nft", "legacy"] as const).map((variant) => ({ family, variant })),
);

/** The nat table of both families in both variants, and the families whose table iptables-nft cannot show. */
export async function readNat(world: RulesWorld) {
  const read = await Promise.all(PLACES.map((place) => readNatTable(place, world)));
  return {
    nat: read.flatMap((one) => ("incompatible" in one ? [] : one)),
    incompatible: read.flatMap((one) => ("incompatible" in one ? one.incompatible : [])),
  };
}

async function readNatTable(
  place: Place,
  world: RulesWorld,
): Promise<Fact<NatTable> | { readonly incompatible: Family }> {
  const { family, variant } = place;
  const what = `the ${family} rules of iptables-${variant}`;
  const tool = toolName(family, variant, world.tool);
  const listed = await listTable("nat", what, place, world);
  if (!isKnown(listed)) return isIncompatible(listed.why) ? { incompatible: family } : listed;
  const listing = listed.value ?? "";
  // A rule that asks for a set that could not be read may match.
  const sets = await readSets({ run: world.run, notRead: [], warnings: [], failures: [] }, listing);
  return { value: { family, variant, tool, chains: parseNatListing(listing, family, sets) } };
}

/** Base chains past conntrack that what is forwarded passes, by their tables. */
const FORWARD: Readonly<Record<string, readonly string[]>> = {
  filter: ["FORWARD"],
  mangle: ["PREROUTING", "FORWARD", "POSTROUTING"],
};

/** The chains of iptables that what is forwarded passes, in both variants; `FAMILY TABLE` of those that it cannot show. */
export async function readForward(world: RulesWorld) {
  const read = Object.entries(FORWARD).flatMap(([table, bases]) =>
    PLACES.map((place) => readForwardTable(table, bases, place, world)),
  );
  const all = (await Promise.all(read)).flat();
  return {
    forward: all.flatMap((one) => ("hidden" in one ? [] : one)),
    hidden: all.flatMap((one) => ("hidden" in one ? one.hidden : [])),
  };
}

async function readForwardTable(
  table: string,
  bases: readonly string[],
  place: Place,
  world: RulesWorld,
): Promise<readonly (Fact<HookChain> | { readonly hidden: string })[]> {
  const { family, variant } = place;
  const where = `${toolName(family, variant, world.tool)} -t ${table}`;
  const listed = await listTable(table, where, place, world);
  if (!isKnown(listed))
    return isIncompatible(listed.why) ? [{ hidden: `${family} ${table}` }] : [{ ...listed, minor: true }];
  const { value: listing } = listed;
  if (listing === undefined) return [];
  const chains = parseNatListing(listing, family);
  return bases.map((chain) => ({
    value: { family, place: where, chain, priority: 0, policy: policyOf(listing, chain), chains },
  }));
}

/** What the tool lists of a table; undefined if there is none. */
async function listTable(
  table: string,
  what: string,
  { family, variant }: Place,
  world: RulesWorld,
): Promise<Fact<string | undefined>> {
  const exists: Fact<boolean> =
    variant === "nft"
      ? { value: world.hasNftTable(family, table) }
      : derive(readLegacyTables(family, what, world.proc), (names) => names.includes(table));
  if (!isKnown(exists)) return exists;
  if (!exists.value) return { value: undefined };
  const script: Script = {
    file: toolName(family, variant, world.tool),
    args: [...(world.tool?.wait ?? []), "-t", table, "-S"],
    purpose: `listing the ${table} table`,
    deadlineMs: DEADLINE_MS,
  };
  return attempt(what, () => listSteadily(script, variant, world.run));
}

/** The configured tool, if it is of that variant: an image may have no other. */
function toolName(family: Family, variant: Variant, tool: Tool | undefined): string {
  return toolsOf(tool?.variant === variant ? tool.mode : variant, family).command;
}

/** The names of all ipsets. Without the tool there are none that we could have made. */
export async function readSetNames(run: Run): Promise<Fact<readonly string[]>> {
  const answer = await attempt("ipsets", () => run(LIST_SETS));
  return isKnown(answer)
    ? { value: parseSetNames(answer.value) }
    : { ...answer, minor: answer.cause === "no tool" };
}

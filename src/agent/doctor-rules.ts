/** The packet filter's rules for `doctor`: asked of the tools and over netlink, and never so that the question changes anything. */
import type { Answer, Script } from "../backend/backend.ts";
import { type IptablesVariant, iptablesBackend } from "../backend/iptables.ts";
import { parseNatListing } from "../backend/nat-listing.ts";
import { FAMILIES, type Family } from "../core/cidr.ts";
import { type Fact, isKnown, type NatTable, type Variant } from "../core/doctor-facts.ts";
import { attempt, derive, readText } from "./doctor-read.ts";
import { probe } from "./probe.ts";

export type Run = (script: Script) => Promise<Answer>;

const DEADLINE_MS = 30_000;

/** How often a table is listed at most. */
const LISTINGS = 5;

/** The configured tool of a family. */
export interface Tool {
  readonly command: string;
  readonly version: string;
  readonly variant: Variant;
  /** How it is told to wait for the lock. */
  readonly wait: readonly string[];
}

/** What the iptables is that the agent would run. `--version` does not ask the kernel. */
export function readTool(mode: IptablesVariant, run: Run): Promise<Fact<Tool>> {
  const tools = iptablesBackend(mode).tools("IPv4");
  return attempt(`which iptables ${tools.command} is`, async () => {
    const { version, variant, wait } = await probe(tools, run);
    return { command: tools.command, version, variant: variant === "legacy" ? "legacy" : "nft", wait };
  });
}

interface NatWorld {
  readonly run: Run;
  readonly proc: string;
  readonly tool: Tool | undefined;
  /** Whether nf_tables may have a nat table of the family; asking for one that is not there is only a waste. */
  readonly hasNftTable: (family: Family) => boolean;
}

/** The nat table of both families in both variants. */
export function readNat(world: NatWorld): Promise<readonly Fact<NatTable>[]> {
  const pairs = FAMILIES.flatMap((family) =>
    (["nft", "legacy"] as const).map((variant) => readTable(family, variant, world)),
  );
  return Promise.all(pairs);
}

async function readTable(family: Family, variant: Variant, world: NatWorld): Promise<Fact<NatTable>> {
  const tool = toolName(family, variant, world.tool);
  const what = `the ${family} rules of iptables-${variant}`;
  const table = (listing: string) => ({ family, variant, tool, chains: parseNatListing(listing) });
  const exists: Fact<boolean> =
    variant === "nft" ? { value: world.hasNftTable(family) } : legacyTable(family, world.proc, what);
  if (!isKnown(exists)) return exists;
  if (!exists.value) return { value: table("") };
  const script: Script = {
    file: tool,
    args: [...(world.tool?.wait ?? []), "-t", "nat", "-S"],
    purpose: "listing the nat table",
    deadlineMs: DEADLINE_MS,
  };
  return derive(await attempt(what, () => listSteadily(script, world.run)), table);
}

/**
 * The listing that comes twice: one by iptables-nft 1.8.9 can end early without a word while somebody commits. Where
 * others never cease, the last one has to do.
 */
async function listSteadily(script: Script, run: Run): Promise<string> {
  let last = (await run(script)).stdout;
  for (let attempt = 1; attempt < LISTINGS; attempt++) {
    const { stdout } = await run(script);
    if (stdout === last) break;
    last = stdout;
  }
  return last;
}

/** The configured tool, if it is of that variant: an image may have no other. */
function toolName(family: Family, variant: Variant, tool: Tool | undefined): string {
  const mode = tool?.variant === variant && !tool.command.includes("-") ? "path" : variant;
  return iptablesBackend(mode).tools(family).command;
}

/** A legacy tool that looks makes the table, so the kernel's own list is asked first. */
function legacyTable(family: Family, proc: string, what: string): Fact<boolean> {
  const path = `${proc}/net/${family === "IPv4" ? "ip" : "ip6"}_tables_names`;
  return derive(readText(path, what), (text = "") => text.split("\n").includes("nat"));
}

/** The names of all ipsets. Without the tool nobody here has made any. */
export async function readSets(run: Run): Promise<Fact<readonly string[]>> {
  const script: Script = {
    file: "ipset",
    args: ["list", "-n"],
    purpose: "listing ipsets",
    deadlineMs: DEADLINE_MS,
  };
  const answer = await attempt("ipsets", () => run(script));
  return isKnown(answer)
    ? { value: answer.value.stdout.split("\n").filter((name) => name !== "") }
    : { ...answer, minor: true };
}

/** The packet filter's rules for `doctor`: asked of the tools and over netlink, and never so that the question changes anything. */
import { attempt } from "../backend/attempt.ts";
import type { Family } from "../core/cidr.ts";
import { LIST_SETS, parseSetNames } from "../iptables/ipset-scripts.ts";
import { isIncompatible, listSteadily } from "../iptables/listing.ts";
import { probe } from "../iptables/probe.ts";
import { type IptablesVariant, type Tools, toolsOf } from "../iptables/tools.ts";
import { CommandError } from "../system/command-error.ts";
import { type Fact, isKnown } from "../system/fact.ts";
import type { Run, Script } from "../system/script.ts";
import { parseIptablesSave } from "../trace/iptables-save.ts";
import { readSets } from "../trace/live.ts";
import type { Hook } from "../trace/model.ts";
import type { Variant } from "./facts.ts";

const DEADLINE_MS = 30_000;

/** The configured tool of a family. */
export interface Tool {
  readonly mode: IptablesVariant;
  readonly command: string;
  readonly version: string;
  readonly variant: Variant;
}

/** The iptables that the agent would run. `--version` does not ask the kernel. */
export function readTool(mode: IptablesVariant, run: Run): Promise<Fact<Tool>> {
  const tools = toolsOf(mode, "IPv4");
  return attempt(`which iptables ${tools.command} is`, async () => {
    const { version, variant } = await probe(tools, run);
    return { mode, command: tools.command, version, variant: variant === "legacy" ? "legacy" : "nft" };
  });
}

export interface IptablesWorld {
  readonly run: Run;
  readonly tool: Tool | undefined;
}

/** A table of iptables. */
export interface Place {
  readonly family: Family;
  readonly variant: Variant;
  readonly table: string;
}

/** Why there is nothing to see: another program has put rules of its own into the table, which iptables does not know. */
export const INCOMPATIBLE = "incompatible";

/**
 * The base chains of a table that exists, as its own tool shows them. `isSteady`: nobody can commit meanwhile without being noticed,
 * so that one listing is enough.
 */
export async function saveTable(
  place: Place,
  { run, tool }: IptablesWorld,
  isSteady: boolean,
): Promise<Fact<readonly Hook[]> | typeof INCOMPATIBLE> {
  const { family, variant, table } = place;
  const { save, command } = toolsFor(place, tool);
  const script: Script = {
    file: save,
    args: ["-t", table],
    purpose: `saving the ${table} table`,
    deadlineMs: DEADLINE_MS,
  };
  const what = describePlace(place, tool);
  const saved = await attempt(what, async () => {
    const once = async (one: Script) => {
      const answer = await run(one);
      return isIncompatible(answer.stdout + answer.stderr) ? { ...answer, stdout: INCOMPATIBLE } : answer;
    };
    const text = isSteady ? (await once(script)).stdout : await listSteadily(script, variant, once);
    if (text === INCOMPATIBLE) return INCOMPATIBLE;
    // A rule that asks for a set that could not be read may match.
    const sets = await readSets({ run, notRead: [], warnings: [], failures: [] }, text);
    const dump = parseIptablesSave(text, sets, table);
    if (!dump.ok) throw new CommandError(script, { why: `its output, line ${dump.line}: ${dump.message}` });
    const isOrderUnknown = variant === "legacy" ? { isOrderUnknown: true } : {};
    const own = { place: `${command} -t ${table}`, families: [family], variant, ...isOrderUnknown };
    return dump.hooks.map((hook) => ({ ...hook, ...own }));
  });
  if (!isKnown(saved)) {
    if (isIncompatible(saved.why)) return INCOMPATIBLE;
    return { ...saved, ...(table === "nat" ? {} : { minor: true }) };
  }
  return saved.value === INCOMPATIBLE ? INCOMPATIBLE : { value: saved.value };
}

/** As a message names the table. */
export function describePlace(place: Place, tool: Tool | undefined): string {
  const { family, variant, table } = place;
  return table === "nat"
    ? `the ${family} rules of iptables-${variant}`
    : `${toolsFor(place, tool).command} -t ${table}`;
}

/** The configured tool, if it is of that variant: an image may have no other. */
export function toolsFor(
  { family, variant }: Pick<Place, "family" | "variant">,
  tool: Tool | undefined,
): Tools {
  return toolsOf(tool?.variant === variant ? tool.mode : variant, family);
}

/** The names of all ipsets. Without the tool there are none that we could have made. */
export async function readSetNames(run: Run): Promise<Fact<readonly string[]>> {
  const answer = await attempt("ipsets", () => run(LIST_SETS));
  return isKnown(answer)
    ? { value: parseSetNames(answer.value) }
    : { ...answer, minor: answer.cause === "no tool" };
}

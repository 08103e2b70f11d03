/** The effects of the iptables backend, and the capabilities that it logs. */

import type { Span } from "../backend/commit-log.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../log/log.ts";
import { CommandError } from "../system/command-error.ts";
import type { Run } from "../system/script.ts";
import type { SetRole } from "./ipset.ts";
import { IPSET_VERSION } from "./ipset-scripts.ts";
import type { NetlinkView } from "./netlink-view.ts";
import type { Capabilities, IptablesPlanner } from "./planner.ts";
import type { Tools } from "./tools.ts";

/** The effects that the driver needs. */
export interface ToolWorld {
  readonly run: Run;
  /** Runs scripts that write, to their end even during shutdown; without it, `run`. */
  readonly finish?: Run;
  readonly probe: (tools: Tools, run: Run) => Promise<Capabilities>;
  readonly log: Logger;
  /** For an agent that acts on events: reads iptables-nft's rules without a child process. */
  readonly view?: NetlinkView;
  /**
   * Frees memory before a tool works on a long chain: it takes 2 kB for each rule, and the kernel the same for the new ones, in
   * the same container.
   */
  readonly relieve?: () => void;
  /** The warnings about leftovers so far. */
  readonly said?: Set<string>;
  /** Runs work that no other agent may do at the same time; without it, at once. */
  readonly inTurn?: <T>(work: () => Promise<T>) => Promise<T>;
  /** Called with the driver's own commits. */
  readonly claim?: (span: Span) => void;
}

/** Determines the capabilities of a family's tools, and logs them. */
export async function describeTools(
  planner: IptablesPlanner,
  { family, masquerade }: Ruleset,
  { probe, run, log }: ToolWorld,
): Promise<Capabilities> {
  const { command } = planner.tools(family);
  const capabilities = await probe(planner.tools(family), run);
  const about = log.with({ family, backend: "iptables" });
  about.info(`${family}: using ${command} ${capabilities.version} (${capabilities.variant})`);
  if (masquerade.randomFully && !capabilities.randomFully) {
    about.warning(
      `${family}: ${command} ${capabilities.version} does not know --random-fully (1.6.2 does): masquerading without it`,
    );
  }
  return capabilities;
}

/** Whether ipset works, which these lists would need; warns if not. */
export async function probeIpset(
  [first = "destinations"]: readonly SetRole[],
  { run, log }: ToolWorld,
): Promise<boolean> {
  try {
    await run(IPSET_VERSION);
    return true;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log.warning(`${error.message}: ${WITHOUT_IPSET[first]}`);
    return false;
  }
}

const WITHOUT_IPSET: Readonly<Record<SetRole, string>> = {
  destinations: "the list is longer than --ipset-threshold, but stays in the chain as rules",
  sources: "the sources are too many for a chain, but stay in it as rules",
};

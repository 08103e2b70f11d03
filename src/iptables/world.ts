/** What the tools of the iptables backend are asked once, and what they are asked with. */

import type { Span } from "../backend/commit-log.ts";
import type { Ruleset } from "../core/ruleset.ts";
import type { Logger } from "../log/log.ts";
import { CommandError } from "../system/command-error.ts";
import type { Run } from "../system/script.ts";
import { IPSET_VERSION } from "./ipset-scripts.ts";
import type { NetlinkView } from "./netlink-view.ts";
import type { Capabilities, IptablesPlanner } from "./planner.ts";
import type { Tools } from "./tools.ts";

/** What the driver needs of the world. */
export interface ToolWorld {
  readonly run: Run;
  /** Runs what changes something, to its end although the agent is told to end; else as `run`. */
  readonly finish?: Run;
  readonly probe: (tools: Tools, run: Run) => Promise<Capabilities>;
  readonly log: Logger;
  /** For an agent that acts on events: how iptables-nft's rules are seen without a child process. */
  readonly view?: NetlinkView;
  /**
   * Called before a tool works on a long chain: it takes 2 kB for each rule and the kernel another for the new ones, in the same
   * container, so that what we no longer need must be gone.
   */
  readonly relieve?: () => void;
  /** What has been warned of already in looking for what is left. */
  readonly said?: Set<string>;
  /** Does what no other agent may do at the same time; else at once. */
  readonly inTurn?: <T>(work: () => Promise<T>) => Promise<T>;
  /** Told of the commits that the driver itself has made. */
  readonly claim?: (span: Span) => void;
}

/** Asks the tools of a family what they can do, and says it. */
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

/** Whether there is an ipset; if not, that is said. */
export async function probeIpset({ run, log }: ToolWorld): Promise<boolean> {
  try {
    await run(IPSET_VERSION);
    return true;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log.warning(`${error.message}: the list is longer than --ipset-threshold, but stays a chain of rules`);
    return false;
  }
}

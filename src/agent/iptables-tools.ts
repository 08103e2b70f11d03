/** What the tools of the iptables backend are asked once. */
import type { Backend, Capabilities } from "../backend/backend.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { CommandError } from "./exec.ts";
import type { ToolWorld } from "./iptables-driver.ts";

/** Asks the tools of a family what they can do, and says it. */
export async function describeTools(
  backend: Backend,
  { family, masquerade }: Ruleset,
  { probe, run, log }: ToolWorld,
): Promise<Capabilities> {
  const { command } = backend.tools(family);
  const capabilities = await probe(backend.tools(family), run);
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
  const script = {
    file: "ipset",
    args: ["--version"],
    purpose: "asking ipset for its version",
    deadlineMs: 10_000,
  };
  try {
    await run(script);
    return true;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log.warning(`${error.message}: the list is longer than --ipset-threshold, but stays a chain of rules`);
    return false;
  }
}

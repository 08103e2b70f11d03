/** What agents say and write. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { command } from "../test/lab/command.ts";
import type { Agent } from "../test/lab/network/processes.ts";
import type { Side } from "./sides.ts";

const DEADLINE_MS = 120_000;

/** Waits until an agent's log has what `find` looks for; throws with its last lines if it ends before, or takes too long. */
export async function untilLogged<T>(agent: Agent, find: (log: string) => T | undefined): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  let why = "";
  void agent.ended.then((how) => {
    why = `the agent ended, ${how}`;
  });
  for (;;) {
    const found = find(agent.log());
    if (found !== undefined) return found;
    if (performance.now() > deadline) why ||= `nothing within ${DEADLINE_MS} ms`;
    if (why !== "") throw new Error(`${why}: ${agent.log().slice(-1_000)}`);
    await Promise.race([agent.more(), pause(1_000, undefined, { ref: false })]);
  }
}

/** A configuration's fields, as far as the subjects use them. */
export interface Fields {
  readonly nonMasqueradeCIDRs?: readonly string[];
  readonly masqueradeSourceCIDRs?: readonly string[];
  readonly cidrLimit?: number;
  readonly outputInterfaces?: readonly string[];
  readonly outputAddresses?: readonly string[];
  readonly outputAddressBy?: "pod" | "flow";
}

/** The shell commands that make an agent's rules for a configuration, whatever addresses this machine has. */
export function renderRules(
  { node, bundle }: Side,
  directory: string,
  fields: Fields,
  flags: readonly string[],
): Promise<string> {
  const config = join(directory, "config.json");
  writeFileSync(config, JSON.stringify({ nonMasqueradeCIDRs: ["172.16.0.0/12"], ...fields }));
  const { outputAddresses = [] } = fields;
  const own = outputAddresses.length === 0 ? [] : [`--node-address=${outputAddresses.join()}`];
  return command(node, [bundle, "render", "--no-adopt", `--config=${config}`, ...flags, ...own]);
}

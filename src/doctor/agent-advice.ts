/** The advice about our rules, by which agent runs. */

import { holdToken } from "../presence/names.ts";
import { known } from "../system/fact.ts";
import type { Facts } from "./facts.ts";

/** The advice about rules that are not as an agent would have them. */
export function askAgent(facts: Facts): string {
  const { processes, settings } = facts;
  const found = known(processes);
  const agent = found?.agents.find(({ chain }) => chain === settings.chain);
  const itself = "it repairs this by itself within a resync interval";
  if (agent !== undefined) return `see what the agent with pid ${agent.pid} logs; ${itself}`;
  if (found?.answers === true)
    return `see what the agent logs (ip-masq-agent status shows its last sync); ${itself}`;
  const held = livingAgent(facts, settings.chain);
  if (held !== undefined) return `see what the agent logs: ${held}; ${itself}`;
  if (found?.agents.length === 0) return "no agent runs here: start it, and it programs its rules at once";
  return `see whether the agent runs and what it logs; ${itself}`;
}

/** The agent of a chain, by its process, or by the socket that it holds where its process is not visible. */
export function livingAgent({ processes, holders }: Facts, chain: string): string | undefined {
  const agent = known(processes)?.agents.find((one) => one.chain === chain);
  if (agent !== undefined) return `the agent with pid ${agent.pid}`;
  const token = holdToken(chain);
  const held = (known(holders) ?? []).find((one) => one.token === token && one.isAgent !== false);
  return held === undefined ? undefined : `an agent (${held.who} holds its socket)`;
}

/** Whether an agent runs here, by its process, its answer or its socket. */
export function isAgentSeen(facts: Facts): boolean {
  const found = known(facts.processes);
  return (
    found?.answers === true ||
    (found?.agents.length ?? 0) > 0 ||
    livingAgent(facts, facts.settings.chain) !== undefined
  );
}

/** The advice about rules that the agent's other backend has left: only our program removes them at its start, the Go program never. */
export function clearAway({ processes }: Facts): string {
  const agents = known(processes)?.agents ?? [];
  if (agents.some(({ isOurs }) => !isOurs))
    return "run ip-masq-agent cleanup while no agent runs: the Go program, which runs here, never removes such rules";
  return "restart the agent, which removes at its start what its other backend left; without an agent: ip-masq-agent cleanup";
}

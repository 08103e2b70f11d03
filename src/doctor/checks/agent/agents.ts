import { known } from "../../../system/fact.ts";
import { livingAgent } from "../../agent-advice.ts";
import type { Check } from "../../facts.ts";
import { info, warning } from "../../finding.ts";

export const agents: Check = {
  name: "agents",
  severity: "warning",
  looksFor: "two agents with the same chain; info if no agent runs",
  remedy: "stop all agents but one",
  run(facts) {
    const { settings, processes } = facts;
    const found = known(processes);
    if (found === undefined) return [];
    if (found.agents.length === 0)
      return found.answers === true || livingAgent(facts, settings.chain) !== undefined
        ? [info("an agent runs here, by its HTTP server or its socket; its process is not visible from here")]
        : [
            info(
              "no agent runs here: no process of one is visible in this network namespace, and none answers at its address",
              "if one should, see its pod; in a pod without hostPID, only an agent's HTTP server is visible",
            ),
          ];
    const same = found.agents.filter(({ chain }) => chain === settings.chain);
    if (same.length < 2) return [];
    const pids = same.map(({ pid }) => pid).join(", ");
    return [
      warning(`${same.length} agents with chain ${settings.chain} run (pids ${pids})`, "stop all but one"),
    ];
  },
};

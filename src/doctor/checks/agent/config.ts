import { known } from "../../../system/fact.ts";
import { counted } from "../../../text/plural.ts";
import { isAgentSeen } from "../../agent-advice.ts";
import type { Check } from "../../facts.ts";
import { error, type FindingText, info, warning } from "../../finding.ts";

/** As many problems as fit a screen; `validate` has them all. */
const SHOWN = 5;

const BUSY_MS = 1_000;
const SELDOM_MS = 600_000;

export const config: Check = {
  name: "config",
  severity: "error",
  looksFor:
    "a configuration that is bad or cannot be read; warnings of it (0.0.0.0/0, unknown keys, ignored keys), a resync interval below 1 s or above 10 min: warning; no file: info",
  remedy: "see all of it with ip-masq-agent validate",
  run(facts) {
    const found = known(facts.config);
    if (found === undefined) return [];
    const { path, exists, problems, warnings, resyncMs } = found;
    const remedy = `see all of it: ip-masq-agent validate ${path}`;
    // Only an agent that runs has one, and only if it has read one.
    const inForce = isAgentSeen(facts)
      ? "; until then the agent keeps the last valid one, if it had one"
      : "";
    const more = problems.length - SHOWN;
    return [
      ...(exists ? [] : [info(`no configuration at ${path}: the defaults are in force`)]),
      ...problems.slice(0, SHOWN).map((problem) => error(problem, `${remedy}${inForce}`)),
      ...(more > 0 ? [error(`${path}: ${counted(more, "more problem")}`, remedy)] : []),
      ...warnings.slice(0, SHOWN).map((problem) => warning(problem, remedy)),
      ...(warnings.length > SHOWN
        ? [warning(`${path}: ${counted(warnings.length - SHOWN, "more warning")}`, remedy)]
        : []),
      ...(resyncMs === undefined ? [] : resync(path, resyncMs)),
    ];
  },
};

function resync(path: string, ms: number): FindingText[] {
  const remedy = "60s is the default";
  const what = `${path}: resyncInterval ${ms / 1000}s`;
  if (ms < BUSY_MS) return [warning(`${what} checks too often and wastes CPU`, remedy)];
  if (ms > SELDOM_MS)
    return [warning(`${what}: drift that raises no event stays unrepaired for up to ${ms / 1000}s`, remedy)];
  return [];
}

/** Checks of `doctor`: the agent's configuration. */

import { known } from "../system/fact.ts";
import { counted } from "../text/plural.ts";
import type { Facts } from "./facts.ts";
import { error, type FindingText, info, warning } from "./finding.ts";

/** As many problems as fit a screen; `validate` has them all. */
const SHOWN = 5;

const BUSY_MS = 1_000;
const SELDOM_MS = 600_000;

export function config(facts: Facts): readonly FindingText[] {
  const found = known(facts.config);
  if (found === undefined) return [];
  const { path, exists, problems, warnings, resyncMs } = found;
  const remedy = `see all of it: ip-masq-agent validate ${path}`;
  const more = problems.length - SHOWN;
  return [
    ...(exists ? [] : [info(`no configuration at ${path}: the defaults are in force`)]),
    ...problems
      .slice(0, SHOWN)
      .map((problem) => error(problem, `${remedy}; the last good one stays in force`)),
    ...(more > 0 ? [error(`${path}: ${counted(more, "more problem")}`, remedy)] : []),
    ...warnings.slice(0, SHOWN).map((problem) => warning(problem, remedy)),
    ...(warnings.length > SHOWN
      ? [warning(`${path}: ${counted(warnings.length - SHOWN, "more warning")}`, remedy)]
      : []),
    ...(resyncMs === undefined ? [] : resync(path, resyncMs)),
  ];
}

function resync(path: string, ms: number): FindingText[] {
  const remedy = "60s is the default";
  if (ms < BUSY_MS)
    return [warning(`${path}: resyncInterval ${ms / 1000}s keeps the node busy with looking`, remedy)];
  if (ms > SELDOM_MS)
    return [
      warning(`${path}: resyncInterval ${ms / 1000}s: what nobody tells of stays wrong that long`, remedy),
    ];
  return [];
}

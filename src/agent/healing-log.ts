/** Logs healings: each of the first ones, and during a fight one line a minute, so that it does not fill the log. */

import { type Attribution, renderCulprits } from "../backend/commit-log.ts";
import { countDrift, type Drift, renderDrift } from "../core/drift.ts";
import type { Logger } from "../log/log.ts";
import { counted } from "../text/plural.ts";
import { LINES_AT_MOST } from "./report.ts";

/** The logged and unlogged healings of a minute. */
export interface HealingTally {
  since: number;
  told: number;
  untold: number;
  /** Of the newest unlogged one. */
  attribution?: Attribution | undefined;
}

const MINUTE_MS = 60_000;
const TOLD_AT_MOST = 30;

/** A tally of no healing. */
export function createTally(): HealingTally {
  return { since: Number.NEGATIVE_INFINITY, told: 0, untold: 0 };
}

/** A healed change is a warning, although it is repaired: until then packets had the wrong verdict. */
export function warnOfHealing(
  log: Logger,
  label: string,
  tally: HealingTally,
  now: number,
  {
    drift,
    attribution,
  }: { readonly drift: readonly Drift[]; readonly attribution?: Attribution | undefined },
): void {
  warnOfUntold(log, label, tally, now);
  if (tally.told >= TOLD_AT_MOST) {
    tally.untold++;
    tally.attribution = attribution;
    return;
  }
  tally.told++;
  const { by, fields } = blame(attribution);
  const told = drift.filter(({ count }) => count === undefined).slice(0, LINES_AT_MOST);
  for (const one of told)
    log.with({ kind: one.kind, ...fields }).warning(`${label}: healed: ${renderDrift(one)}${by}`);
  const left = countDrift(drift) - told.length;
  if (left > 0) log.with({ kind: undefined, ...fields }).warning(`and ${left} more`);
}

/** After a minute, logs its unlogged healings; each pass calls it, since no further healing may follow. */
export function warnOfUntold(log: Logger, label: string, tally: HealingTally, now: number): void {
  if (now - tally.since < MINUTE_MS) return;
  const { untold, attribution } = tally;
  const { by, fields } = blame(attribution);
  if (untold > 0)
    log
      .with({ kind: undefined, ...fields })
      .warning(`${label}: healed ${counted(untold, "more time")} in a minute${by && `, last${by.slice(1)}`}`);
  // While the fight lasts, there is one line for each minute.
  Object.assign(tally, {
    since: now,
    told: untold > 0 ? TOLD_AT_MOST : 0,
    untold: 0,
    attribution: undefined,
  });
}

function blame(attribution: Attribution | undefined) {
  const culprits = attribution && renderCulprits(attribution);
  const { process, pid } = attribution?.commits.at(-1) ?? {};
  return { by: culprits === undefined ? "" : `, changed by ${culprits}`, fields: { process, pid } };
}

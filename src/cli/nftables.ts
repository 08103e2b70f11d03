/** The nftables backend's part in commands. */

import { readOwnTable } from "../diff/live.ts";
import { changeElements } from "../diff/rule-changes.ts";
import { nftablesSide } from "../doctor/own/nftables.ts";
import { findTable } from "../nftables/cleanup.ts";
import { planTable, tooManyRules } from "../nftables/plan.ts";
import { keptIntervals, NO_TABLE, TABLE } from "../nftables/sets.ts";
import type { BackendCommands } from "./backend.ts";

/** The most that a netlink socket takes at once on a kernel with the usual net.core.wmem_max and rmem_max of 212,992. */
const BATCH_BYTES = 425_952;

export const nftablesCommands: BackendCommands = {
  render(rulesets) {
    const label = rulesets.map(({ family }) => family).join(" and ");
    const plan = planTable(rulesets, NO_TABLE, BATCH_BYTES);
    const refusal = plan.refusal ?? tooManyRules(plan, rulesets, BATCH_BYTES);
    const part = { label, steps: plan.steps, ...(refusal === undefined ? {} : { refusal }) };
    return { parts: [part], assumed: [] };
  },
  compare(before, after) {
    const where = `table inet ${TABLE.table} set for ${before.family}`;
    return changeElements(where, before.family, keptIntervals(before), keptIntervals(after));
  },
  current: (rulesets, _look, { signal }) => readOwnTable(rulesets, signal),
  findOurs: findTable,
  doctor: nftablesSide,
};

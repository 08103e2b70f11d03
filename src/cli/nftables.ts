/** The nftables backend's part in commands. */

import type { Interval } from "../core/intervals.ts";
import type { Ruleset } from "../core/ruleset.ts";
import { readOwnTable } from "../diff/live.ts";
import { type Content, changeContents, changeElements } from "../diff/rule-changes.ts";
import { nftablesSide } from "../doctor/own/nftables.ts";
import { renderStatements } from "../netlink/text.ts";
import { findTable } from "../nftables/cleanup.ts";
import { planTable, tooManyRules } from "../nftables/plan.ts";
import { tableRules } from "../nftables/rules.ts";
import { CHAIN, keptIntervals, NO_TABLE, TABLE, wantedIn } from "../nftables/sets.ts";
import type { BackendCommands } from "./backend.ts";

/** The most that a netlink socket takes at once on a kernel with the usual net.core.wmem_max and rmem_max of 212,992. */
const BATCH_BYTES = 425_952;

/** Our chain as it is for one family, with the sets' usual names. */
function chainContent(ruleset: Ruleset): Content {
  const { family } = ruleset;
  const name = family.toLowerCase();
  const from = wantedIn(ruleset, "from") === undefined ? {} : { from: `from-${name}` };
  const rules = tableRules([ruleset], [{ keep: `keep-${name}`, ...from }]);
  return {
    where: `table inet ${TABLE.table} chain ${CHAIN.chain} for ${family}`,
    lines: rules.map((rule) => renderStatements(rule).replace(/counter packets 0 bytes 0/g, "counter")),
    isOrdered: true,
  };
}

export const nftablesCommands: BackendCommands = {
  render(rulesets) {
    const label = rulesets.map(({ family }) => family).join(" and ");
    const plan = planTable(rulesets, NO_TABLE, BATCH_BYTES);
    const refusal = plan.refusal ?? tooManyRules(plan, rulesets, BATCH_BYTES);
    const part = { label, steps: plan.steps, ...(refusal === undefined ? {} : { refusal }) };
    return { parts: [part], assumed: [] };
  },
  compare(before, after) {
    const { family } = before;
    const where = `table inet ${TABLE.table} set for ${family}`;
    const [from, to] = [before, after].map((one) => wantedIn(one, "from") ?? []) as [Interval[], Interval[]];
    return [
      ...changeElements(where, family, keptIntervals(before), keptIntervals(after)),
      ...changeElements(`${where} sources`, family, from, to),
      ...changeContents([chainContent(before)], [chainContent(after)]),
    ];
  },
  current: (rulesets, _look, { signal }) => readOwnTable(rulesets, signal),
  findOurs: findTable,
  doctor: nftablesSide,
};

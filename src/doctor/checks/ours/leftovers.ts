import { known } from "../../../system/fact.ts";
import { clearAway, livingAgent } from "../../agent-advice.ts";
import type { Check, Facts, NatTable } from "../../facts.ts";
import { type FindingText, warning } from "../../finding.ts";
import { inTable, jumpTargets, natTables, ownTables } from "../../nat-tables.ts";

export const leftovers: Check = {
  name: "leftovers",
  severity: "warning",
  looksFor:
    "chains of other agents, running or gone; our chain in a variant, family or backend that is not used; our table beside iptables; our sets that no rule looks up",
  remedy: "run ip-masq-agent cleanup",
  run(facts) {
    return [
      ...natTables(facts).flatMap((table) => leftChains(facts, table)),
      ...facts.others.flatMap(({ left }) => left(facts)),
      ...leftSets(facts),
    ];
  },
};

function leftChains(facts: Facts, table: NatTable): readonly FindingText[] {
  const { chain } = facts.settings;
  const isOwn = ownTables(facts).includes(table);
  const targets = [...new Set(jumpTargets(table))].filter((target) => !isOwn || target !== chain);
  const isAlone = !isOwn && table.chains.has(chain) && !targets.includes(chain);
  const alone = `${inTable(table)} has a chain ${chain}, which the agent does not use there`;
  return [
    ...targets.map((target) => otherChain(facts, table, target)),
    ...(isAlone ? [warning(alone, clearAway(facts))] : []),
  ];
}

/** An agent that runs keeps its chain, and would make it again. */
function otherChain(facts: Facts, table: NatTable, target: string): FindingText {
  const isOwn = target === facts.settings.chain;
  const what = `${inTable(table)}: chain ${target} and a jump to it`;
  const alive = livingAgent(facts, target);
  if (alive !== undefined && !isOwn)
    return warning(
      `${what} belong to ${alive}, which runs; they decide too`,
      "stop one of the two agents, unless both are meant to run; do not delete the chain of one that runs",
    );
  const flag = isOwn ? "" : ` --masq-chain=${target}`;
  return warning(
    `${what} belong to another agent, or an earlier one left them; they decide too`,
    alive === undefined
      ? `if no such agent is meant to run: ip-masq-agent cleanup${flag}`
      : `stop ${alive}, run ip-masq-agent cleanup, which removes nothing before, and start it again`,
  );
}

/** Sets that no rule of any table looks up. */
function leftSets(facts: Facts): readonly FindingText[] {
  const rules = natTables(facts).flatMap(({ chains }) => [...chains.values()].flat());
  const used = new Set(rules.flatMap(({ text }) => / --match-set (\S+)/.exec(` ${text}`)?.[1] ?? []));
  const sets = known(facts.sets) ?? [];
  const left = facts.ownSets.filter((name) => sets.includes(name) && !used.has(name));
  return left.map((name) =>
    warning(`ipset ${name} is ours, and no rule looks it up`, `ipset destroy ${name}`),
  );
}

/** Checks of `doctor`: whether our own rules stand and decide. */

import type { Family } from "../core/cidr.ts";
import { holdToken } from "../presence/names.ts";
import { known } from "../system/fact.ts";
import type { Facts, NatRule, NatTable } from "./facts.ts";
import { type FindingText, info, warning } from "./finding.ts";
import type { Senders } from "./rule-scope.ts";

/** How the comment of a jump of ours begins, and what stands around the chain's name. */
const JUMP_COMMENT = /^ip-masq-agent: ensure nat POSTROUTING .* to our custom (\S+) chain$/;

/** What to do about rules that are not as an agent would have them. */
export function askAgent(facts: Facts): string {
  const { processes, settings } = facts;
  const found = known(processes);
  const agent = found?.agents.find(({ chain }) => chain === settings.chain);
  const itself = "it puts this right by itself within a resync interval";
  if (agent !== undefined) return `see what the agent with pid ${agent.pid} logs; ${itself}`;
  if (found?.answers === true)
    return `see what the agent logs (ip-masq-agent status shows its last pass); ${itself}`;
  const held = livingAgent(facts, settings.chain);
  if (held !== undefined) return `see what the agent logs: ${held}; ${itself}`;
  if (found?.agents.length === 0) return "no agent runs here: start it, and it programs its rules at once";
  return `see whether the agent runs and what it logs; ${itself}`;
}

/** The tables in which the agent should have its rules. */
export function ownTables(facts: Facts): readonly NatTable[] {
  return facts.own.tables(facts);
}

/** All tables that could be listed. */
export function natTables({ nat }: Pick<Facts, "nat">): readonly NatTable[] {
  return nat.flatMap((fact) => known(fact) ?? []);
}

export function inTable({ tool }: NatTable): string {
  return `${tool} -t nat`;
}

/** The command that deletes a rule. */
export function deletionOf(table: NatTable, { text }: NatRule): string {
  return `${inTable(table)} ${text.replace(/^-A/, "-D")}`;
}

/** Pods, as far as they are known. */
export function sendersOf({ links, podNetworks }: Facts, family: Family): Senders {
  const seen = known(links);
  const more = podNetworks.flatMap((fact) => known(fact) ?? []);
  if (seen === undefined && more.length === 0) return { family, pods: undefined };
  const { networks = [], others = [], links: ways = new Map<string, boolean>() } = seen ?? {};
  return { family, pods: { networks: [...networks, ...more], others, links: ways } };
}

export function postrouting({ chains }: NatTable): readonly NatRule[] {
  return chains.get("POSTROUTING") ?? [];
}

/** The chains that agents' jumps in a table lead to. */
export function jumpTargets(table: NatTable): readonly string[] {
  return postrouting(table).flatMap(({ comment, target }) =>
    JUMP_COMMENT.test(comment ?? "") ? (target ?? []) : [],
  );
}

export const CLEANUP =
  "restart the agent, which clears away what its other backend left; without an agent: ip-masq-agent cleanup";

/** Rules of ours where the agent, as it is set now, does not look. */
export function leftovers(facts: Facts): readonly FindingText[] {
  const { chain } = facts.settings;
  const own = ownTables(facts);
  const inIptables = natTables(facts).flatMap((table): FindingText[] => {
    const isOwn = own.includes(table);
    const targets = [...new Set(jumpTargets(table))].filter((target) => !isOwn || target !== chain);
    const alone =
      !isOwn && table.chains.has(chain) && !targets.includes(chain)
        ? [warning(`${inTable(table)} has a chain ${chain}, which the agent does not use there`, CLEANUP)]
        : [];
    return [...targets.map((target) => otherChain(facts, table, target)), ...alone];
  });
  return [...inIptables, ...facts.others.flatMap(({ left }) => left(facts)), ...leftSets(facts)];
}

/** The agent of a chain, by its process, or by the socket that it holds where its process is not seen. */
function livingAgent({ processes, holders }: Facts, chain: string): string | undefined {
  const agent = known(processes)?.agents.find((one) => one.chain === chain);
  if (agent !== undefined) return `the agent with pid ${agent.pid}`;
  const token = holdToken(chain);
  const held = (known(holders) ?? []).find((one) => one.token === token && one.isAgent !== false);
  return held === undefined ? undefined : `an agent (${held.who} holds its socket)`;
}

/** An agent that lives keeps its chain, and would make it again. */
function otherChain(facts: Facts, table: NatTable, target: string): FindingText {
  const isOwn = target === facts.settings.chain;
  const what = `${inTable(table)}: chain ${target} and a jump to it are`;
  const alive = livingAgent(facts, target);
  if (alive !== undefined && isOwn)
    return warning(
      `${what} another agent's, or left by one; they decide too`,
      `stop ${alive}, run ip-masq-agent cleanup, which removes nothing before, and start it again`,
    );
  if (alive !== undefined)
    return warning(
      `${what} those of ${alive}, which runs; they decide too`,
      "stop one of the two agents, unless both are meant to run; do not delete the chain of one that runs",
    );
  const flag = isOwn ? "" : ` --masq-chain=${target}`;
  return warning(
    `${what} another agent's, or left by one; they decide too`,
    `if no such agent is meant to run: ip-masq-agent cleanup${flag}`,
  );
}

/** Sets that no rule of any table looks up. */
function leftSets(facts: Facts): readonly FindingText[] {
  const used = new Set(
    natTables(facts).flatMap(({ chains }) =>
      [...chains.values()].flat().flatMap(({ conditions }) => conditions),
    ),
  );
  const sets = known(facts.sets) ?? [];
  const left = facts.ownSets.filter((name) => sets.includes(name) && !used.has(name));
  return left.map((name) =>
    warning(`ipset ${name} is ours, and no rule looks it up`, `ipset destroy ${name}`),
  );
}

/** Both variants of iptables decide, each with its own rules. */
export function bothVariants(facts: Facts): readonly FindingText[] {
  const tables = natTables(facts);
  return (["IPv4", "IPv6"] as const).flatMap((family) => {
    const [nft, legacy] = (["nft", "legacy"] as const).map((variant) =>
      tables.find((table) => table.family === family && table.variant === variant && hasRules(table)),
    );
    if (nft === undefined || legacy === undefined) return [];
    return warning(
      `${family}: rules stand in the nat tables of both variants of iptables (${nft.tool} and ${legacy.tool})`,
      "use one variant on the node; remove the other's rules, and see --iptables-mode",
    );
  });
}

function hasRules({ chains }: NatTable): boolean {
  return [...chains.values()].some((rules) => rules.length > 0);
}

/** Whether there is an agent at all, and only one. */
export function agents(facts: Facts): readonly FindingText[] {
  const { settings, processes } = facts;
  const found = known(processes);
  if (found === undefined) return [];
  if (found.agents.length === 0)
    return found.answers === true || livingAgent(facts, settings.chain) !== undefined
      ? [info("an agent runs here by what it answers or holds; its process is not seen from here")]
      : [
          info(
            "no agent runs here: no process of one is seen in this network namespace, and none answers at its address",
            "if one should, see its pod; in a pod without hostPID, only an agent's HTTP server is seen",
          ),
        ];
  const same = found.agents.filter(({ chain }) => chain === settings.chain);
  if (same.length < 2) return [];
  const pids = same.map(({ pid }) => pid).join(", ");
  return [
    warning(`${same.length} agents with chain ${settings.chain} run (pids ${pids})`, "stop all but one"),
  ];
}

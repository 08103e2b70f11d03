/** Checks of `doctor`: whether our own rules stand and decide. */
import { type Facts, known, type NatRule, type NatTable } from "./doctor-facts.ts";
import { error, info, type Said, warning } from "./doctor-finding.ts";
import { isTerminal, walkPostrouting } from "./nat-walk.ts";

/** How the comment of a jump of ours begins, and what stands around the chain's name. */
const JUMP_COMMENT = /^ip-masq-agent: ensure nat POSTROUTING .* to our custom (\S+) chain$/;

const RUN =
  "see whether the agent runs and what it logs; it puts this right by itself within a resync interval";

/** The tables in which the agent should have its rules. */
export function ownTables({ settings, nat }: Facts): readonly NatTable[] {
  if (settings.backend !== "iptables") return [];
  return natTables({ nat }).filter(
    ({ family, variant }) => variant === settings.variant && settings.families.includes(family),
  );
}

/** All tables that could be listed. */
export function natTables({ nat }: Pick<Facts, "nat">): readonly NatTable[] {
  return nat.flatMap((fact) => known(fact) ?? []);
}

export function inTable({ tool }: NatTable): string {
  return `${tool} -t nat`;
}

function postrouting({ chains }: NatTable): readonly NatRule[] {
  return chains.get("POSTROUTING") ?? [];
}

/** The chains that agents' jumps in a table lead to. */
export function jumpTargets(table: NatTable): readonly string[] {
  return postrouting(table).flatMap(({ comment, target }) =>
    JUMP_COMMENT.test(comment ?? "") ? (target ?? []) : [],
  );
}

/** No chain, one that is not finished, no jump or several. */
export function ownChain(facts: Facts): readonly Said[] {
  const { chain, backend, variant } = facts.settings;
  if (backend === "iptables" && variant === undefined)
    return [
      error(
        "the backend is iptables, and no iptables runs here",
        "install it, or see --iptables-mode and --backend",
      ),
    ];
  return ownTables(facts).flatMap((table) => {
    const where = inTable(table);
    const rules = table.chains.get(chain);
    const jumps = postrouting(table).filter(({ target }) => target === chain).length;
    if (rules === undefined)
      return error(`${where} has no chain ${chain}: the agent's rules are not in force`, RUN);
    const said: Said[] = [];
    if (jumps === 0)
      said.push(error(`${where}: no jump from POSTROUTING to ${chain}: its rules are never asked`, RUN));
    if (jumps > 1) {
      const remedy = `delete all but one: ${where} -D POSTROUTING NUMBER`;
      said.push(warning(`${where}: ${jumps} jumps from POSTROUTING to ${chain}`, remedy));
    }
    const last = rules.at(-1);
    if (last?.target !== "MASQUERADE" || last.conditions.length > 0) {
      const how = last === undefined ? "is empty" : `ends with "${last.text}"`;
      said.push(error(`${where}: chain ${chain} ${how}: the rest is not masqueraded`, RUN));
    }
    return said;
  });
}

/** A rule in front of the jump that no packet gets past. */
export function blockedJump(facts: Facts): readonly Said[] {
  const { chain } = facts.settings;
  return ownTables(facts).flatMap((table) => {
    const passed = walkPostrouting(table, new Set([chain]));
    const jump = passed.findIndex(({ rule }) => rule.target === chain);
    const before = passed.slice(0, Math.max(jump, 0));
    const blocking = before.find(({ rule, certain, marked }) => isTerminal(rule) && certain && !marked);
    if (blocking === undefined) return [];
    const { rule } = blocking;
    return error(
      `${inTable(table)}: the jump to ${chain} stands behind "${rule.text}", which no packet gets past`,
      "remove that rule, or move it behind the jump",
    );
  });
}

/** The nftables table, if that is where the rules should be. */
export function ownTable({ settings, nftables }: Facts): readonly Said[] {
  const found = known(nftables);
  if (settings.backend !== "nftables" || found === undefined) return [];
  const { own, chains } = found;
  const where = "table inet ip-masq-agent";
  if (own === undefined) return [error(`no ${where}: the agent's rules are not in force`, RUN)];
  const wanted = `ip-masq-agent chain=${settings.chain}`;
  if (own.comment !== wanted) {
    const whose = own.comment === undefined ? "no comment" : `the comment "${own.comment}"`;
    const remedy =
      "remove it (nft delete table inet ip-masq-agent), or the agent that made it, or set --masq-chain";
    return [error(`${where} has ${whose} and not "${wanted}": the agent never touches it`, remedy)];
  }
  if (own.dormant) return [error(`${where} is dormant: its rules are not asked`, RUN)];
  const rules = ownChains(chains).flatMap((one) => one.rules);
  const last = rules.at(-1);
  if (last?.action.kind === "masquerade") return [];
  const how = last === undefined ? "has no rules" : "does not end with masquerade";
  return [error(`${where} ${how}: the rest is not masqueraded`, RUN)];
}

export function ownChains<T extends { family: string; table: string; priority: number | undefined }>(
  chains: readonly T[],
): readonly T[] {
  return chains.filter(
    ({ family, table, priority }) => family === "inet" && table === "ip-masq-agent" && priority !== undefined,
  );
}

const CLEANUP =
  "restart the agent, which clears away what its other backend left; without an agent: ip-masq-agent cleanup";

/** Rules of ours where the agent, as it is set now, does not look. */
export function leftovers(facts: Facts): readonly Said[] {
  const { chain, backend } = facts.settings;
  const own = ownTables(facts);
  const inIptables = natTables(facts).flatMap((table): Said[] => {
    const isOwn = own.includes(table);
    const targets = [...new Set(jumpTargets(table))].filter((target) => !isOwn || target !== chain);
    const alone =
      !isOwn && table.chains.has(chain) && !targets.includes(chain)
        ? [warning(`${inTable(table)} has a chain ${chain}, which the agent does not use there`, CLEANUP)]
        : [];
    return [
      ...targets.map((target) =>
        warning(
          `${inTable(table)}: chain ${target} and a jump to it are another agent's, or left by one; they decide too`,
          `if no such agent is meant to run: ip-masq-agent cleanup ${target === chain ? "" : `--masq-chain=${target}`}`.trimEnd(),
        ),
      ),
      ...alone,
    ];
  });
  return [...inIptables, ...(backend === "iptables" ? leftTable(facts) : []), ...leftSets(facts)];
}

function leftTable({ nftables }: Facts): readonly Said[] {
  const { own, chains = [] } = known(nftables) ?? {};
  if (own === undefined) return [];
  const isEmpty = ownChains(chains).every(({ rules }) => rules.length === 0);
  const what = isEmpty
    ? "has no rules, and is left by an agent"
    : "stands beside the iptables rules and decides too";
  return [warning(`table inet ip-masq-agent ${what}`, CLEANUP)];
}

/** Sets that no rule of any table looks up. */
function leftSets(facts: Facts): readonly Said[] {
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
export function bothVariants(facts: Facts): readonly Said[] {
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
export function agents({ settings, processes }: Facts): readonly Said[] {
  const found = known(processes)?.agents;
  if (found === undefined) return [];
  if (found.length === 0)
    return [
      info("no agent is seen running in this network namespace", "run doctor where its processes are seen"),
    ];
  const same = found.filter(({ chain }) => chain === settings.chain);
  if (same.length < 2) return [];
  const pids = same.map(({ pid }) => pid).join(", ");
  return [
    warning(`${same.length} agents with chain ${settings.chain} run (pids ${pids})`, "stop all but one"),
  ];
}

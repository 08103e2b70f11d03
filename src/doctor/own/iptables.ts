/** The backend iptables for `doctor`: whether our chain and the jump to it are there and decide. */

import { isBuiltIn, isForeign, renderForeign } from "../../iptables/chain-owner.ts";
import { known } from "../../system/fact.ts";
import { askAgent, inTable, natTables, postrouting, sendersOf } from "../check-own.ts";
import type { Facts, NatTable, OwnSide } from "../facts.ts";
import { error, type FindingText, warning } from "../finding.ts";
import { isTerminal, walkBase } from "../nat-walk.ts";

export const iptablesSide: OwnSide = {
  name: "iptables",
  label: ({ variant }) => (variant === undefined ? "iptables" : `iptables (${variant})`),
  isInNatTable: true,
  priority: 100,
  tables,
  checks: { "own-chain": ownChain, "blocked-jump": blockedJump, lock },
  // Chains of all tables are looked at in any case.
  left: () => [],
};

function tables({ settings, nat }: Facts): readonly NatTable[] {
  return natTables({ nat }).filter(
    ({ family, variant }) => variant === settings.variant && settings.families.includes(family),
  );
}

/** No chain, one that is not finished, no jump or several. */
function ownChain(facts: Facts): readonly FindingText[] {
  const { chain, variant } = facts.settings;
  if (variant === undefined)
    return [
      error(
        "the backend is iptables, and no iptables runs here",
        "install it, or see --iptables-mode and --backend",
      ),
    ];
  return tables(facts).flatMap((table) => {
    const where = inTable(table);
    const rules = table.chains.get(chain);
    const jumps = postrouting(table).filter(({ target }) => target === chain).length;
    if (rules === undefined)
      return error(`${where} has no chain ${chain}: the agent's rules are not in force`, askAgent(facts));
    const foreign = isForeign(rules.map(({ comment }) => comment));
    if (isBuiltIn(chain) || (foreign && jumps === 0))
      return error(renderForeign(chain, rules.length, table.tool), "the agent refuses to write there");
    const said: FindingText[] = [];
    if (jumps === 0)
      said.push(
        error(
          `${where}: no jump from POSTROUTING to ${chain}: no packet comes to its rules`,
          askAgent(facts),
        ),
      );
    if (jumps > 1) {
      const remedy = `delete all but one: ${where} -D POSTROUTING NUMBER`;
      said.push(warning(`${where}: ${jumps} jumps from POSTROUTING to ${chain}`, remedy));
    }
    const last = rules.at(-1);
    if (last?.target !== "MASQUERADE" || last.conditions.length > 0) {
      const how = last === undefined ? "is empty" : `ends with "${last.text}"`;
      said.push(error(`${where}: chain ${chain} ${how}: the rest is not masqueraded`, askAgent(facts)));
    }
    return said;
  });
}

/** A rule in front of the jump that no packet gets past. */
function blockedJump(facts: Facts): readonly FindingText[] {
  const { chain } = facts.settings;
  return tables(facts).flatMap((table) => {
    const { chains, family } = table;
    const senders = sendersOf(facts, family);
    const passed = walkBase({ chains, base: "POSTROUTING", senders, without: new Set([chain]) });
    const jump = passed.findIndex(({ rule }) => rule.target === chain);
    const before = passed.slice(0, Math.max(jump, 0));
    const blocking = before.find(({ rule, certain }) => isTerminal(rule) && certain);
    if (blocking === undefined) return [];
    const { rule } = blocking;
    return error(
      `${inTable(table)}: the jump to ${chain} stands behind "${rule.text}", which no packet gets past`,
      "remove that rule, or move it behind the jump",
    );
  });
}

/** Legacy tools keep each other apart by a lock, which is the host's only if it is mounted. */
function lock({ lock: fact, settings }: Facts): readonly FindingText[] {
  const found = known(fact);
  if (found === undefined || settings.variant !== "legacy") return [];
  if (!found.inContainer || (found.exists && found.mounted)) return [];
  const how = found.exists ? "is not the host's" : "does not exist";
  return [
    warning(
      `${found.path} ${how}: iptables-legacy in this container and on the host can undo each other's changes`,
      "mount the host's /run/xtables.lock (hostPath with type FileOrCreate)",
    ),
  ];
}

import type { Check } from "../../facts.ts";
import { error } from "../../finding.ts";
import { inTable, ownTables, sendersOf } from "../../nat-tables.ts";
import { isTerminal, walkBase } from "../../nat-walk.ts";

export const blockedJump: Check = {
  name: "blocked-jump",
  severity: "error",
  looksFor:
    "a rule ahead of our jump that takes every packet (ACCEPT, MASQUERADE, RETURN without a condition), also in a chain that an earlier rule jumps to",
  remedy: "remove that rule, or move it after the jump",
  run(facts) {
    const { chain } = facts.settings;
    return ownTables(facts).flatMap((table) => {
      const { chains, family } = table;
      const senders = sendersOf(facts, family);
      const passed = walkBase({ chains, base: "POSTROUTING", senders, without: new Set([chain]) });
      const jump = passed.findIndex(({ rule }) => rule.target === chain);
      const before = passed.slice(0, Math.max(jump, 0));
      const blocking = before.find(({ rule, certain }) => isTerminal(rule) && certain);
      if (blocking === undefined) return [];
      const { text, target } = blocking.rule;
      return error(
        `${inTable(table)}: the jump to ${chain} is never reached: an earlier rule takes every packet (${target}): ${text}`,
        "remove that rule, or move it after the jump",
      );
    });
  },
};

import type { Family } from "../../../core/cidr.ts";
import { ruleKey } from "../../../trace/outcome.ts";
import { ownJump, takerOf } from "../../base-chains.ts";
import type { Check, Facts } from "../../facts.ts";
import { atMost, error, type FindingText, info, warning } from "../../finding.ts";
import { placeOf } from "../../foreign-rules.ts";
import { makersRemedy } from "../../makers.ts";
import { lineOf } from "../../nat-tables.ts";
import { type Deviation, deviationsOf } from "../../sweep.ts";

const REMEDY = "remove that rule, or move it after the jump";

export const blockedJump: Check = {
  name: "blocked-jump",
  severity: "error",
  looksFor:
    "a rule ahead of our jump that takes every packet (ACCEPT, MASQUERADE, RETURN without a condition), also in a chain that an earlier rule jumps to; one that only leads packets past it that the configuration masquerades: warning",
  remedy: REMEDY,
  run: (facts) =>
    facts.settings.families.flatMap((family) => {
      const taker = ownTaker(facts, family);
      if (taker === undefined)
        return atMost(
          deviationsOf(facts)
            .filter((one) => one.family === family && one.verdict === "keep")
            .map((one) => describe(facts, one)),
        );
      const { hook, by, rule } = taker;
      return error(
        `${hook.place}: the jump to ${facts.settings.chain} is never reached: an earlier rule takes every packet (${rule.action.kind.toUpperCase()}): ${lineOf(by.chain, rule)}`,
        makersRemedy(taker) ?? REMEDY,
      );
    }),
};

function describe(facts: Facts, one: Deviation): FindingText {
  const { hook, by, isCertain } = one;
  const [say, leads] = isCertain ? [warning, "leads"] : [info, "may lead"];
  return say(
    `${hook.place}: a rule ${placeOf(facts, one)} ${leads} packets past our chain that the configuration masquerades: ${lineOf(by.chain, by)}`,
    makersRemedy(one) ?? REMEDY,
  );
}

/** The rule ahead of our jump that takes every packet, if there is one, and it matters. */
function ownTaker(facts: Facts, family: Family): Deviation | undefined {
  const own = ownJump(facts, family);
  const taker = own && takerOf(facts, family, own.hook);
  if (own === undefined || taker === undefined) return undefined;
  const { hook, jump } = own;
  return deviationsOf(facts).find(
    (one) => one.hook === hook && one.from.number < jump.number && ruleKey(one.by) === ruleKey(taker),
  );
}

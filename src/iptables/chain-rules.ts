/** The rules of our chain, in order: what keeps the pod's address, whose packets are not ours, and how ours are masqueraded. */

import type { Entry, Ruleset } from "../core/ruleset.ts";
import type { Layout } from "./layout.ts";
import { fromBlock, masqueradeRules } from "./masquerade-rules.ts";
import type { Rule } from "./rule.ts";

// People grep for these texts: they are the Go program's, but for those of exceptions and sources, which it does not have.
const RETURN_COMMENT = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const SOURCE_COMMENT = "ip-masq-agent: source is not subject to MASQUERADE";
const EXCEPTION_COMMENT = "ip-masq-agent: destination is subject to MASQUERADE although a wider range is not";

/** The rules of the chain, in order. `randomFully` is true if the flag is set and the tool knows it. */
export function chainRules(ruleset: Ruleset, layout: Layout, randomFully: boolean): readonly Rule[] {
  const returns = { target: "RETURN", randomFully: false } as const;
  const { destinations, sources } = layout.sets;
  return [
    ...layout.entries.map((entry) => entryRule(entry, randomFully)),
    ...(destinations === undefined
      ? []
      : [
          {
            ...returns,
            set: { name: destinations.name, has: "destination" },
            comment: RETURN_COMMENT,
          } as const,
        ]),
    ...layout.excepted.map((block) => ({ ...returns, ...fromBlock(block), comment: SOURCE_COMMENT })),
    ...(sources === undefined
      ? []
      : [{ ...returns, set: { name: sources.name, has: "no source" }, comment: SOURCE_COMMENT } as const]),
    ...masqueradeRules(ruleset, layout.ours, randomFully),
  ];
}

function entryRule({ cidr, verdict }: Entry, randomFully: boolean): Rule {
  return verdict === "return"
    ? { destination: cidr, comment: RETURN_COMMENT, target: "RETURN", randomFully: false }
    : { destination: cidr, comment: EXCEPTION_COMMENT, target: "MASQUERADE", randomFully };
}

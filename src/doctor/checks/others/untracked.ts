import type { Family } from "../../../core/cidr.ts";
import { subtractIntervals } from "../../../core/intervals.ts";
import { known } from "../../../system/fact.ts";
import type { Hook } from "../../../trace/model.ts";
import { CONNTRACK } from "../../../trace/verdict.ts";
import type { Check, Facts } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";
import { sendersOf } from "../../nat-tables.ts";
import { type Passed, walkBase } from "../../nat-walk.ts";
import { hookChains } from "../../nft-rules.ts";

/** No NAT ever sees a packet that conntrack has not seen: it leaves with the pod's address. */
export const untracked: Check = {
  name: "untracked",
  severity: "warning",
  looksFor:
    "rules that switch connection tracking off (CT --notrack, notrack) for pods' packets that the configuration masquerades; info if such a rule matches only some, by protocol or port",
  remedy: "remove the rule, or narrow it",
  run: (facts) =>
    facts.settings.families.flatMap((family) =>
      (known(facts.trace)?.hooks ?? [])
        .filter((hook) => hook.families.includes(family) && isBeforeConntrack(hook))
        .flatMap((hook) => lookAt(facts, family, hook)),
    ),
};

function isBeforeConntrack({ hook, priority }: Hook): boolean {
  return hook === "ingress" || (hook === "prerouting" && priority < CONNTRACK);
}

function lookAt(facts: Facts, family: Family, hook: Hook): readonly FindingText[] {
  const way = {
    chains: hookChains(hook.chains, family),
    base: hook.chain,
    senders: sendersOf(facts, family),
    without: new Set<string>(),
  };
  return walkBase(way)
    .filter((one) => one.rule.target === "NOTRACK" && isMasqueraded(facts, family, one))
    .map(({ rule, answer }) => {
      const [say, which] = answer === "yes" ? [warning, "pods' packets"] : [info, "some of pods' packets"];
      return say(
        `${hook.place}: a rule switches connection tracking off for ${which} (${family}), which are then never translated: ${rule.text}`,
        "remove the rule, or narrow it to what the node itself sends and receives",
      );
    });
}

/** Whether the configuration masquerades some of what the rule matches; packets for the node itself do not matter. */
function isMasqueraded(facts: Facts, family: Family, { destinations }: Passed): boolean {
  const kept = known(facts.config)?.kept?.get(family) ?? [];
  const local = known(facts.trace)?.local[family] ?? [];
  return subtractIntervals(subtractIntervals(destinations, local), kept).length > 0;
}

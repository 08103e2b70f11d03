import type { Check } from "../../facts.ts";
import { atMost, type FindingText, info, warning } from "../../finding.ts";
import { type Deviation, deviationsOf } from "../../sweep.ts";

/** No NAT ever sees a packet that conntrack has not seen: it leaves with the pod's address. */
export const untracked: Check = {
  name: "untracked",
  severity: "warning",
  looksFor:
    "rules that switch connection tracking off (CT --notrack, notrack) for pods' packets that the configuration masquerades; info if such a rule matches only some, by protocol or port",
  remedy: "remove the rule, or narrow it",
  run: (facts) =>
    atMost(
      deviationsOf(facts)
        .filter(({ verdict }) => verdict === "untracked")
        .map(describe),
    ),
};

function describe({ hook, rule, family, isForAll }: Deviation): FindingText {
  const [say, which] = isForAll ? [warning, "pods' packets"] : [info, "some of pods' packets"];
  return say(
    `${hook.place}: a rule switches connection tracking off for ${which} (${family}), which are then never translated: ${rule.text}`,
    "remove the rule, or narrow it to what the node itself sends and receives",
  );
}

import { known } from "../../../system/fact.ts";
import type { Check, Facts } from "../../facts.ts";
import { error } from "../../finding.ts";
import { isKubelets, KUBELET_FLAG, masqueradingBut, NEVER_FROM_1_24 } from "../../kubelet.ts";
import { deletionOf, inTable, natTables } from "../../nat-tables.ts";

/** `! -d 0.0.0.0/0` never matches, so such a rule is harmless. */
const NEVER_MATCHES = /! -d (0\.0\.0\.0|::)\/0/;

export const kubeletRule: Check = {
  name: "kubelet-rule",
  severity: "error",
  looksFor:
    "the MASQUERADE rule of a kubelet or kubenet of Kubernetes 1.23 or older, or one that it has left behind",
  remedy: "delete the rule",
  run: (facts) =>
    natTables(facts).flatMap((table) =>
      [...table.chains.values()]
        .flat()
        .filter((rule) => isKubelets(rule) && !NEVER_MATCHES.test(rule.conditions.join(" ")))
        .map((rule) =>
          error(
            `${inTable(table)}: the kubelet masquerades by itself, regardless of the configuration: ${rule.text}`,
            remedyFor(facts, deletionOf(table, rule)),
          ),
        ),
    ),
};

function remedyFor({ processes }: Facts, deletion: string): string {
  const isSet = masqueradingBut(known(processes)?.kubelets).length > 0;
  const what = isSet
    ? `${KUBELET_FLAG}, then delete the rule: ${deletion}`
    : `it is a leftover, delete it: ${deletion}; if it comes back: ${KUBELET_FLAG}`;
  return `${what}; ${NEVER_FROM_1_24}`;
}

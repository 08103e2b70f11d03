import { known } from "../../../system/fact.ts";
import type { Check, Facts } from "../../facts.ts";
import { error } from "../../finding.ts";
import { isKubelets, KUBELET_FLAG, masqueradingBut, NEVER_FROM_1_24 } from "../../kubelet.ts";
import { lineOf } from "../../nat-tables.ts";
import { deviationsOf } from "../../sweep.ts";

export const kubeletRule: Check = {
  name: "kubelet-rule",
  severity: "error",
  looksFor:
    "the MASQUERADE rule of a kubelet or kubenet of Kubernetes 1.23 or older, or one that it has left behind, if it decides differently from the configuration",
  remedy: "delete the rule",
  run: (facts) =>
    deviationsOf(facts)
      .filter(({ rule }) => isKubelets(rule))
      .map(({ hook: { place }, by: { chain }, rule }) => {
        const line = lineOf(chain, rule);
        return error(
          `${place}: the kubelet masquerades by itself, regardless of the configuration: ${line}`,
          remedyFor(facts, `${place} ${line.replace(/^-A/, "-D")}`),
        );
      }),
};

function remedyFor({ processes }: Facts, deletion: string): string {
  const isSet = masqueradingBut(known(processes)?.kubelets).length > 0;
  const what = isSet
    ? `${KUBELET_FLAG}, then delete the rule: ${deletion}`
    : `it is a leftover, delete it: ${deletion}; if it comes back: ${KUBELET_FLAG}`;
  return `${what}; ${NEVER_FROM_1_24}`;
}

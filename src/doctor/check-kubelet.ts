/** Checks of `doctor`: the kubelet's own masquerading, which Kubernetes 1.24 removed together with its flag. */

import { flagValue } from "../go/flags.ts";
import { known } from "../system/fact.ts";
import { deletionOf, inTable, natTables } from "./check-own.ts";
import type { Facts, NatRule } from "./facts.ts";
import { error, type FindingText } from "./finding.ts";
import { isSourceNat } from "./nat-walk.ts";

/** Comments of kubelets and their kubenet plugin. */
const KUBELET_COMMENT = /^(kubenet|kubelet): SNAT (for )?outbound/;

const FLAG =
  "with Kubernetes 1.23 or older and kubenet, start the kubelet with --non-masquerade-cidr=0.0.0.0/0";
const NEVER = "from 1.24 on never set that flag: a kubelet that gets it does not start";

/** The kubelet's or kubenet's rule for a single CIDR. */
export function kubeletRules(facts: Facts): readonly FindingText[] {
  return natTables(facts).flatMap((table) =>
    [...table.chains.values()]
      .flat()
      .filter(isKubelets)
      // Not for anything outside 0.0.0.0/0 means never, and then it stands there without harm.
      .filter(({ conditions }) => !/! -d (0\.0\.0\.0|::)\/0/.test(conditions.join(" ")))
      .map((rule) =>
        error(
          `${inTable(table)}: the kubelet masquerades by itself, whatever the configuration says: ${rule.text}`,
          remedyFor(facts, deletionOf(table, rule)),
        ),
      ),
  );
}

function remedyFor({ processes }: Facts, deletion: string): string {
  const isSet = masqueradingFor(known(processes)?.kubelets).length > 0;
  const what = isSet
    ? `${FLAG}, then delete the rule: ${deletion}`
    : `it is a leftover, delete it: ${deletion}; if it comes back: ${FLAG}`;
  return `${what}; ${NEVER}`;
}

export function isKubelets(rule: NatRule): boolean {
  return isSourceNat(rule) && KUBELET_COMMENT.test(rule.comment ?? "");
}

/** A kubelet that is told to masquerade for all but one CIDR. */
export function kubeletFlags({ processes }: Facts): readonly FindingText[] {
  return masqueradingFor(known(processes)?.kubelets).map((cidr) =>
    error(`the kubelet runs with --non-masquerade-cidr=${cidr}`, `${FLAG}; ${NEVER}`),
  );
}

function masqueradingFor(kubelets: readonly (readonly string[])[] = []): readonly string[] {
  return kubelets.flatMap((args) => {
    const cidr = flagValue(args, "non-masquerade-cidr");
    return cidr === undefined || cidr === "0.0.0.0/0" || cidr === "::/0" ? [] : cidr;
  });
}

/** The kubelet's own masquerading, which Kubernetes 1.24 removed together with its flag. */

import { flagValue } from "../go/flags.ts";
import type { TraceRule } from "../trace/model.ts";
import { commentOf } from "./nat-tables.ts";

/** Comments of kubelets and their kubenet plugin. */
const KUBELET_COMMENT = /^(kubenet|kubelet): SNAT (for )?outbound/;

export const KUBELET_FLAG =
  "with Kubernetes 1.23 or older and kubenet, start the kubelet with --non-masquerade-cidr=0.0.0.0/0";
export const NEVER_FROM_1_24 = "from 1.24 on never set that flag: a kubelet that gets it does not start";

/** Whether a kubelet or kubenet made the rule. */
export function isKubelets(rule: TraceRule): boolean {
  return rule.action.kind === "masquerade" && KUBELET_COMMENT.test(commentOf(rule) ?? "");
}

/** The CIDRs for which kubelets do not masquerade, where they masquerade for all others. */
export function masqueradingBut(kubelets: readonly (readonly string[])[] = []): readonly string[] {
  return kubelets.flatMap((args) => {
    const cidr = flagValue(args, "non-masquerade-cidr");
    return cidr === undefined || cidr === "0.0.0.0/0" || cidr === "::/0" ? [] : cidr;
  });
}

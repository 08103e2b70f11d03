import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { error } from "../../finding.ts";
import { KUBELET_FLAG, masqueradingBut, NEVER_FROM_1_24 } from "../../kubelet.ts";

export const kubeletFlag: Check = {
  name: "kubelet-flag",
  severity: "error",
  looksFor: "a kubelet of Kubernetes 1.23 or older that runs with --non-masquerade-cidr other than 0.0.0.0/0",
  remedy: KUBELET_FLAG,
  run: ({ processes }) =>
    masqueradingBut(known(processes)?.kubelets).map((cidr) =>
      error(`the kubelet runs with --non-masquerade-cidr=${cidr}`, `${KUBELET_FLAG}; ${NEVER_FROM_1_24}`),
    ),
};

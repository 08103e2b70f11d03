import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { type FindingText, info } from "../../finding.ts";

export const notSeen: Check = {
  name: "not-seen",
  severity: "info",
  looksFor: "no CNI directory, no kubelet, no tracked connections: nothing to check there",
  remedy: "mount the host's /proc and /etc/cni/net.d and name them with --proc and --cni-dir",
  run({ cni, processes, conntrack }) {
    const said: FindingText[] = [];
    if ("value" in cni && cni.value === undefined)
      said.push(
        info("there is no CNI directory here", "in a container, mount the host's and name it with --cni-dir"),
      );
    if (known(processes)?.kubelets.length === 0)
      said.push(
        info(
          "no kubelet is visible here",
          "to have its flags checked, run doctor on the host, or mount its /proc and name it with --proc",
        ),
      );
    if ("value" in conntrack && conntrack.value === undefined)
      said.push(info("the kernel tracks no connections yet"));
    return said;
  },
};

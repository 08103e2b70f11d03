/** Checks of `doctor`: the CNI's configuration, and what is not to be seen from here. */
import { known } from "../system/fact.ts";
import type { Facts } from "./facts.ts";
import { type FindingText, info, warning } from "./finding.ts";

/** CNI plugins that masquerade per pod. */
export function cniMasquerade({ cni }: Facts): readonly FindingText[] {
  const files = known(cni);
  if (files === undefined) return [];
  return files.flatMap(({ path, masquerading, fault }): FindingText[] => [
    ...(fault === undefined
      ? []
      : [
          warning(
            `${path} cannot be read as JSON: ${fault}`,
            "repair it, or remove it if no runtime uses it",
          ),
        ]),
    ...masquerading.map((plugin) =>
      warning(
        `${path}: "ipMasq": true of plugin ${plugin}: the CNI masquerades by itself, whatever our configuration says`,
        'set "ipMasq": false; pods that run keep their rules until they are created again',
      ),
    ),
  ]);
}

/** Where there is nothing to look at. */
export function notSeen({ cni, processes, conntrack }: Facts): readonly FindingText[] {
  const said: FindingText[] = [];
  if ("value" in cni && cni.value === undefined)
    said.push(
      info("there is no CNI directory here", "in a container, mount the host's and name it with --cni-dir"),
    );
  if (known(processes)?.kubelets.length === 0)
    said.push(
      info(
        "no kubelet is seen here",
        "to have its flags checked, run doctor on the host, or mount its /proc and name it with --proc",
      ),
    );
  if ("value" in conntrack && conntrack.value === undefined)
    said.push(info("the kernel tracks no connections yet"));
  return said;
}

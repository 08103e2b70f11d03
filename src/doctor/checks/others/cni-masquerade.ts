import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { type FindingText, warning } from "../../finding.ts";

/** CNI plugins that masquerade per pod. */
export const cniMasquerade: Check = {
  name: "cni-masquerade",
  severity: "warning",
  looksFor: '"ipMasq": true in the CNI\'s configuration; files there that are not valid JSON',
  remedy: 'set "ipMasq": false',
  run({ cni }) {
    const files = known(cni) ?? [];
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
          `${path}: "ipMasq": true of plugin ${plugin}: the CNI masquerades by itself, regardless of our configuration`,
          'set "ipMasq": false; pods that run keep their rules until they are created again',
        ),
      ),
    ]);
  },
};

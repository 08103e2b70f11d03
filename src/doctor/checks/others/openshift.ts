import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";
import { OPENSHIFT } from "../../foreign-rules.ts";
import { inTable, natTables } from "../../nat-tables.ts";

export const openshift: Check = {
  name: "openshift",
  severity: "warning",
  looksFor: "the masquerade chains of OpenShift SDN",
  remedy: "configure egress in OpenShift",
  run: (facts) =>
    natTables(facts).flatMap((table) => {
      const chains = [...table.chains.keys()].filter((chain) => OPENSHIFT.test(chain));
      if (chains.length === 0) return [];
      return warning(
        `${inTable(table)}: OpenShift masquerades by its own rules (${chains.join(", ")})`,
        "configure egress in OpenShift, and do not run the agent beside its network plugin",
      );
    }),
};

import { missingCapabilities } from "../../../system/capabilities.ts";
import { isKnown } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { error } from "../../finding.ts";

export const capabilities: Check = {
  name: "capabilities",
  severity: "error",
  looksFor: "NET_ADMIN missing; NET_RAW missing with iptables-legacy",
  remedy: "run as root, or with the capability",
  run({ capabilities: fact, settings }) {
    if (!isKnown(fact)) return [];
    const missing = missingCapabilities(fact.value);
    const remedy = "run it as root, or with the capability (in Kubernetes, securityContext.capabilities.add)";
    const without = "the rules in the kernel's packet filter cannot be checked";
    if (missing.includes("NET_ADMIN"))
      return [error(`the capability NET_ADMIN is missing: ${without}`, remedy)];
    if (settings.variant === "legacy" && missing.includes("NET_RAW"))
      return [error("the capability NET_RAW is missing, which iptables-legacy needs", remedy)];
    return [];
  },
};

import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";

/** Legacy tools keep each other apart by a lock, which is the host's only if it is mounted. */
export const lock: Check = {
  name: "lock",
  severity: "warning",
  looksFor: "iptables-legacy in a container without the host's /run/xtables.lock",
  remedy: "mount the host's /run/xtables.lock",
  run({ lock: fact, settings }) {
    const found = known(fact);
    if (found === undefined || settings.variant !== "legacy") return [];
    if (!found.inContainer || (found.exists && found.mounted)) return [];
    const how = found.exists ? "is not the host's" : "does not exist";
    return [
      warning(
        `${found.path} ${how}: iptables-legacy in this container and on the host can undo each other's changes`,
        "mount the host's /run/xtables.lock (hostPath with type FileOrCreate)",
      ),
    ];
  },
};

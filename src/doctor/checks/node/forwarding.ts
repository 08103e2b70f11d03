import { known } from "../../../system/fact.ts";
import type { Check, Sysctl } from "../../facts.ts";
import { error } from "../../finding.ts";

/** A node that does not forward has no pods to masquerade for. */
export const forwarding: Check = {
  name: "forwarding",
  severity: "error",
  looksFor: "net.ipv4.ip_forward off; with --enable-ipv6, net.ipv6.conf.all.forwarding off",
  remedy: "switch forwarding on with sysctl",
  run({ sysctls, settings }) {
    const names: readonly Sysctl[] = [
      "net.ipv4.ip_forward",
      ...(settings.families.includes("IPv6") ? (["net.ipv6.conf.all.forwarding"] as const) : []),
    ];
    return names
      .filter((name) => known(sysctls[name]) === "0")
      .map((name) =>
        error(
          `${name} is 0: the node drops all pod traffic to other hosts`,
          `sysctl -w ${name}=1, and keep it in /etc/sysctl.d`,
        ),
      );
  },
};

import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";

const COUNTERS: Readonly<Record<string, readonly [string, string]>> = {
  insert_failed: [
    "the kernel drops connections whose source could not be made unique: ports run out, or two packets of one flow race",
    "use --random-fully and no narrow --to-ports; for DNS, a cache on the node",
  ],
  drop: [
    "the kernel drops packets whose connection it cannot track",
    "see the size of the conntrack table and insert_failed",
  ],
  early_drop: [
    "the kernel forgets connections to make room for new ones",
    "raise net.netfilter.nf_conntrack_max",
  ],
};

export const conntrackCounters: Check = {
  name: "conntrack-counters",
  severity: "warning",
  looksFor: "insert_failed, drop or early_drop of conntrack that grow within --interval",
  remedy: "give connections more source ports, or raise net.netfilter.nf_conntrack_max",
  run({ counters }) {
    const found = known(counters);
    if (found === undefined) return [];
    return Object.entries(COUNTERS).flatMap(([name, [meaning, remedy]]) => {
      const grown = (found.after[name] ?? 0) - (found.before[name] ?? 0);
      if (grown <= 0) return [];
      return warning(
        `conntrack's ${name} grew by ${grown} in ${found.intervalMs / 1000}s: ${meaning}`,
        remedy,
      );
    });
  },
};

import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { error, warning } from "../../finding.ts";
import { percent } from "../../numbers.ts";

const NEARLY = 0.75;
const FULL = 0.9;

export const conntrackTable: Check = {
  name: "conntrack-table",
  severity: "error",
  looksFor: "more than 90 % of nf_conntrack_max in use; more than 75 %: warning",
  remedy: "raise net.netfilter.nf_conntrack_max",
  run({ conntrack }) {
    const found = known(conntrack);
    if (found === undefined || found.max === 0 || found.count / found.max <= NEARLY) return [];
    const { count, max } = found;
    const say = count / max > FULL ? error : warning;
    return [
      say(
        `the conntrack table holds ${count} of ${max} connections (${percent(count / max)}): when it is full, the kernel drops new ones`,
        "raise net.netfilter.nf_conntrack_max (kube-proxy: --conntrack-max-per-core), or find who opens so many (conntrack -L)",
      ),
    ];
  },
};

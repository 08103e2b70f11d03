import type { Check } from "../../facts.ts";
import { info } from "../../finding.ts";

/** With fewer packets of pods, no new connection is no surprise. */
const MANY_PACKETS = 1_000;

/** NAT rules see only the first packet of each connection. */
export const unseen: Check = {
  name: "unseen",
  severity: "info",
  looksFor:
    "pods' links that receive more than 1,000 packets within --interval while our rules see no new connection; not with iptables-legacy, which has no counters",
  remedy: "see whether a datapath around netfilter (eBPF) serves the pods",
  run({ seen }) {
    if (seen === undefined || seen.counted > 0 || seen.received <= MANY_PACKETS) return [];
    return [
      info(
        `no new connection came to the agent's rules for ${seen.intervalMs / 1000}s, while pods' links received ${seen.received} packets`,
        "pods may have only old connections: try --interval=60s; if it stays, a datapath around netfilter (eBPF host routing, netkit) or an earlier rule takes them: ip-masq-agent explain --live",
      ),
    ];
  },
};

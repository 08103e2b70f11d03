import type { Family } from "../../../core/cidr.ts";
import { known } from "../../../system/fact.ts";
import type { Hook, TraceRule } from "../../../trace/model.ts";
import type { Check, Facts } from "../../facts.ts";
import { warning } from "../../finding.ts";

/** With it, pods reach Services with the node's address, regardless of the configuration. */
export const serviceMasquerade: Check = {
  name: "service-masquerade",
  severity: "warning",
  looksFor:
    "kube-proxy with --masquerade-all: it masquerades pods' connections to every Service, also to pods that the configuration keeps",
  remedy: "start kube-proxy without --masquerade-all",
  run: (facts) =>
    facts.settings.families.flatMap((family) => {
      const [first, ...more] = markingRules(facts, family);
      if (first === undefined) return [];
      const others = more.length === 0 ? "" : `, and ${more.length} more`;
      return warning(
        `kube-proxy masquerades all connections to Services, those of pods too (${family}): ${first}${others}`,
        "start kube-proxy without --masquerade-all (masqueradeAll: false in its configuration)",
      );
    }),
};

/** The chains of one Service's cluster IP in mode iptables, and in mode nftables up to 1.32. */
const CLUSTER_IP = /^(KUBE-SV[CL]-|service-)/;
/** The chains and sets of all cluster IPs in modes ipvs and nftables. */
const CLUSTER_IPS: Readonly<Record<string, string>> = {
  "KUBE-SERVICES": "KUBE-CLUSTER-IP",
  services: "@cluster-ips",
};

/** Chains that mark a packet to be masqueraded. */
const MARKS = ["KUBE-MARK-MASQ", "mark-for-masquerade"];

/** The rules that mark all that goes to a cluster IP. Without the flag they leave out pods, by source or by link. */
function markingRules(facts: Facts, family: Family): readonly string[] {
  const hooks = (known(facts.trace)?.hooks ?? []).filter((hook) => isForServices(hook, family));
  const found = hooks.flatMap(({ chains, place }) =>
    [...chains].flatMap(([chain, rules]) =>
      rules.flatMap((rule) => (marksAll(chain, rule) ? `${place}, chain ${chain}: ${rule.text}` : [])),
    ),
  );
  return [...new Set(found)];
}

function isForServices({ hook, isNat, families }: Hook, family: Family): boolean {
  return hook === "prerouting" && isNat && families.includes(family);
}

function marksAll(chain: string, rule: TraceRule): boolean {
  const set = CLUSTER_IPS[chain];
  const isForClusterIp = CLUSTER_IP.test(chain) || (set !== undefined && rule.text.includes(set));
  const isForSome = rule.conditions.some(
    (one) => one.kind === "in" || ("side" in one && one.side === "source"),
  );
  return isForClusterIp && marks(rule) && !isForSome;
}

function marks({ action, marks: changes = [] }: TraceRule): boolean {
  if ("chain" in action) return MARKS.includes(action.chain);
  return action.kind === "mark" || changes.length > 0;
}

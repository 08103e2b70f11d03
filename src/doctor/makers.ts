/** Programs that set the source of pods' packets by themselves: the marks of their rules, and what makes each stop. */
import type { Deviation } from "./sweep.ts";

interface Maker {
  /** Of a rule's text, or of the place and name of a chain on the way to it. */
  readonly marks: RegExp;
  readonly remedy: string;
}

const MAKERS: readonly Maker[] = [
  {
    marks: /\bAWS-SNAT-CHAIN/,
    remedy:
      "the Amazon VPC CNI plugin made it: set AWS_VPC_K8S_CNI_EXTERNALSNAT=true in the DaemonSet aws-node",
  },
  {
    marks: /\bcali-nat-outgoing\b/,
    remedy:
      "Calico made it: set natOutgoing: false in its IPPools, with the operator Disabled in the Installation",
  },
  {
    marks: /\bFLANNEL-POSTRTG\b|"flanneld masq"|\bflannel-ipv[46]\b/,
    remedy:
      "flannel made it: leave --ip-masq out of flanneld's arguments; the rule stays until the node is restarted, or somebody deletes it",
  },
  {
    marks: /\bCILIUM_POST_nat\b/,
    remedy:
      "Cilium made it: switch off enable-ipv4-masquerade and enable-ipv6-masquerade, or do without this agent",
  },
  {
    marks: /\bkube-router-pod-subnets\b/,
    remedy: "kube-router made it: start it with --enable-pod-egress=false",
  },
  {
    // antrea-agent.conf allows noSNAT in no other mode.
    marks: /\bANTREA-POSTROUTING\b/,
    remedy:
      "Antrea made it: with trafficEncapMode: noEncap set noSNAT: true in antrea-agent.conf; in its other modes do without this agent",
  },
  {
    marks: /\bCNI-[0-9a-f]{24}\b|\bcni_plugins_masquerade\b/,
    remedy:
      'a CNI plugin with "ipMasq": true made it: set that to false in its configuration; a pod keeps the rule until it is made again',
  },
  {
    marks: /\btable inet firewalld\b/,
    remedy:
      "firewalld made it: switch masquerading off in the zone or policy that the chain's name has: firewall-cmd --permanent --zone=ZONE --remove-masquerade, then --reload",
  },
  {
    marks: /\bio\.systemd\.nat\b/,
    remedy:
      "systemd-networkd made it: leave IPMasquerade= out of its .network files, or narrow their networks",
  },
  {
    marks: /\bts-postrouting\b/,
    remedy: "Tailscale made it: tailscale set --snat-subnet-routes=false",
  },
];

/** What makes the program stop that has made the rule of a deviation; undefined if it is not known. */
export function makersRemedy({ hook, by, rule, from }: Deviation): string | undefined {
  const seen = [hook.place, hook.chain, by.chain, by.text, rule.text, from.text].join("\n");
  return MAKERS.find(({ marks }) => marks.test(seen))?.remedy;
}

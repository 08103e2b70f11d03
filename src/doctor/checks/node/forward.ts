import { type Family, formatCidr, lastAddress } from "../../../core/cidr.ts";
import { includes } from "../../../core/intervals.ts";
import { known } from "../../../system/fact.ts";
import type { TraceOutcome } from "../../../trace/outcome.ts";
import { tracePacket } from "../../../trace/trace.ts";
import type { Check, Facts, LinkSettings } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";
import { OUTSIDE, podsOf } from "../../packets.ts";
import type { PodNetwork, Uplink } from "../../pod-networks.ts";

/** Source NAT never sees a pod's packet that the node does not forward. */
export const forward: Check = {
  name: "forward",
  severity: "warning",
  looksFor:
    "rules or policies that drop pods' new connections to other networks, forwarding switched off on a link that pods use, no default route; strict rp_filter with several uplinks: info",
  remedy: "accept pods' packets where they are dropped; switch forwarding on; add a route",
  run: (facts) => [
    ...facts.settings.families.flatMap((family) => [...drops(facts, family), ...noRoute(facts, family)]),
    ...facts.linkSettings
      .filter(({ family }) => facts.settings.families.includes(family))
      .flatMap((link) => [...notForwarding(facts, link), ...strict(facts, link)]),
  ],
};

/** More networks of one node are not followed. */
const MANY = 16;

/**
 * Only where all pods of a network come in by one link, and for an address that hardly any pod has: where each pod has a link
 * and rules of its own (Calico), its network policy decides, and a drop is not a fault.
 */
function drops(facts: Facts, family: Family): readonly FindingText[] {
  const networks = (podsOf(facts)?.networks ?? [])
    .filter(({ cidr, link }) => cidr.family === family && link !== undefined)
    .slice(0, MANY);
  return networks.flatMap((network) => {
    const outcome = follow(facts, network);
    if (outcome?.verdict !== "drop") return [];
    return warning(
      `new connections of pods (${formatCidr(network.cidr)}, ${network.from}) to other networks are dropped (${family}): ${describeDrop(outcome)}`,
      `accept there what comes in by ${network.link}, and the replies to it`,
    );
  });
}

/** The rule or policy that drops a packet. */
export function describeDrop({ policy, by }: TraceOutcome): string {
  return policy === undefined
    ? `${by?.place}, chain ${by?.chain}: ${by?.text}`
    : `${policy.place}: the policy of chain ${policy.chain}`;
}

/** The certain fate of a new connection to another network; undefined if it depends on more. */
function follow(facts: Facts, { cidr, link }: PodNetwork): TraceOutcome | undefined {
  const { family } = cidr;
  const rules = known(facts.trace);
  const destination = OUTSIDE[family];
  if (rules === undefined || link === undefined || includes(rules.local[family], destination))
    return undefined;
  const ways = uplinksOf(facts, family);
  const out = ways.length === 1 ? ways[0]?.name : undefined;
  const packet = {
    family,
    source: lastAddress(cidr) - 1n,
    destination,
    protocol: "tcp",
    port: 443,
    mark: 0,
    in: link,
    ...(out === undefined ? {} : { out }),
  };
  const { possible, otherwise } = tracePacket(rules.hooks, packet, rules.local);
  return possible.length === 0 ? otherwise : undefined;
}

function uplinksOf({ links }: Facts, family: Family): readonly Uplink[] {
  return (known(links)?.uplinks ?? []).filter((one) => one.family === family);
}

function noRoute(facts: Facts, family: Family): readonly FindingText[] {
  if (known(facts.links) === undefined || uplinksOf(facts, family).length > 0) return [];
  return [
    warning(
      `there is no default route (${family}): pods' packets reach only networks that have a route of their own`,
      `add a default route; see ip ${family === "IPv6" ? "-6 " : ""}route`,
    ),
  ];
}

/** Where it is off for all links, the check `forwarding` says so. */
function notForwarding(
  { sysctls }: Facts,
  { name, family, forwarding }: LinkSettings,
): readonly FindingText[] {
  const all = family === "IPv4" ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
  if (forwarding !== "0" || known(sysctls[all]) !== "1") return [];
  const key = `net.${family === "IPv4" ? "ipv4" : "ipv6"}.conf.${name}.forwarding`;
  return [
    warning(
      `${key} is 0: the node drops packets that come in by ${name} for other hosts`,
      `sysctl -w ${key}=1, and keep it in /etc/sysctl.d`,
    ),
  ];
}

function strict(facts: Facts, { name, family, rpFilter }: LinkSettings): readonly FindingText[] {
  const names = new Set(uplinksOf(facts, family).map((one) => one.name));
  if (rpFilter !== "1" || !names.has(name) || names.size < 2) return [];
  return [
    info(
      `rp_filter of ${name} is strict: the kernel drops replies that come in by it if the route back leads through another link`,
      `sysctl -w net.ipv4.conf.${name}.rp_filter=2, if replies may come in by several links`,
    ),
  ];
}

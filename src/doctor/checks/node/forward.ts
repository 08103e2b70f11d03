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

/** An eBPF program on a pod's link may set any mark (Calico's does), but not kube-proxy's. */
const UNSEEN_MARKS = ~0x4000;

/** More networks of one node are not followed. */
const MANY = 16;

/** The networks whose packets come in by one link, and those of pods with a link each. */
function drops(facts: Facts, family: Family): readonly FindingText[] {
  const networks = (podsOf(facts)?.networks ?? []).filter(({ cidr }) => cidr.family === family);
  const shared = networks.filter(({ link }) => link !== undefined).slice(0, MANY);
  const own = networks.filter(({ podLink }) => podLink !== undefined).slice(0, MANY);
  return [...shared.flatMap((network) => dropsShared(facts, network)), ...dropsOwn(facts, own)];
}

/** For an address that hardly any pod has: what is dropped of single pods is their network policy's affair. */
function dropsShared(facts: Facts, network: PodNetwork): readonly FindingText[] {
  const { link, cidr } = network;
  const outcome = follow(facts, { family: cidr.family, in: link, source: lastAddress(cidr) - 1n });
  return outcome?.verdict === "drop" ? [dropped(network, outcome, `${link}`)] : [];
}

/**
 * Where each pod has a link and chains of its own (Calico), these have its network policy, and a drop there is not a fault. A base
 * chain's policy and its own rules are for all.
 */
function dropsOwn(facts: Facts, networks: readonly PodNetwork[]): readonly FindingText[] {
  const outcomes = networks.map(({ cidr, podLink }) =>
    follow(facts, { family: cidr.family, in: podLink, unknownMark: UNSEEN_MARKS }),
  );
  const isForAll = (one: TraceOutcome | undefined) =>
    one?.verdict === "drop" && (one.policy !== undefined || isInBaseChain(facts, one));
  const [network] = networks;
  const [outcome] = outcomes;
  if (network === undefined || outcome === undefined || !outcomes.every(isForAll)) return [];
  return [dropped(network, outcome, "the pods' links")];
}

function isInBaseChain({ trace }: Facts, { by }: TraceOutcome): boolean {
  return (known(trace)?.hooks ?? []).some(({ place, chain }) => place === by?.place && chain === by.chain);
}

function dropped({ cidr, from }: PodNetwork, outcome: TraceOutcome, links: string): FindingText {
  return warning(
    `new connections of pods (${formatCidr(cidr)}, ${from}) to other networks are dropped (${cidr.family}): ${describeDrop(outcome)}`,
    `accept there what comes in by ${links}, and the replies to it`,
  );
}

/** The rule or policy that drops a packet. */
export function describeDrop({ policy, by }: TraceOutcome): string {
  return policy === undefined
    ? `${by?.place}, chain ${by?.chain}: ${by?.text}`
    : `${policy.place}: the policy of chain ${policy.chain}`;
}

/** The certain fate of a new connection to another network; undefined if it depends on more. */
function follow(
  facts: Facts,
  sender: { family: Family; in: string | undefined; source?: bigint; unknownMark?: number },
): TraceOutcome | undefined {
  const { family, in: link, ...more } = sender;
  const rules = known(facts.trace);
  const destination = OUTSIDE[family];
  if (rules === undefined || link === undefined || includes(rules.local[family], destination))
    return undefined;
  const ways = uplinksOf(facts, family);
  const out = ways.length === 1 ? ways[0]?.name : undefined;
  const packet = {
    family,
    ...more,
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

/** Third-party rules that give pods' packets a source differently from our configuration: whose they are, and how bad they are. */

import type { Family } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import { known } from "../system/fact.ts";
import type { Condition, TraceRule } from "../trace/model.ts";
import { ownJump, takerOf } from "./base-chains.ts";
import type { Facts } from "./facts.ts";
import { error, info, warning } from "./finding.ts";
import { isKubelets } from "./kubelet.ts";
import { jumpTargets, natTables } from "./nat-tables.ts";
import { podIntervals } from "./packets.ts";
import { type Deviation, deviationsOf, isNodes } from "./sweep.ts";

/** Chains that masquerade only what is marked, or a pod's traffic to itself: what they only may do is no reason to worry. */
const HARMLESS = new Set(["KUBE-POSTROUTING", "CNI-HOSTPORT-MASQ"]);
const KUBE_PROXY = /^table ip6? kube-proxy$/;

export const OPENSHIFT = /^OPENSHIFT-MASQUERADE/;

/** The chain that GKE and kube-up make on a node when it starts, for their own agent to take over. */
export const GKE_CHAIN = "IP-MASQ";

/** Here a platform has services of its own, such as a cloud's metadata. */
const LINK_LOCAL: Readonly<Record<Family, Interval>> = {
  IPv4: { first: 0xa9fe_0000n, last: 0xa9fe_ffffn },
  IPv6: { first: 0xfe80n << 112n, last: (0xfec0n << 112n) - 1n },
};

/** The rules of others that give pods' packets a source differently, or may, of iptables or of nftables. */
export function foreignRules(facts: Facts, side: "iptables" | "nftables"): readonly Deviation[] {
  const agents = new Set(natTables(facts).flatMap(jumpTargets));
  return deviationsOf(facts).filter(
    ({ verdict, by, rule, from, hook, isCertain }) =>
      ["masquerade", "translate", "unknown"].includes(verdict) &&
      (hook.variant === undefined) === (side === "nftables") &&
      !agents.has(by.chain) &&
      !OPENSHIFT.test(by.chain) &&
      !isKubelets(rule) &&
      (isCertain || !(HARMLESS.has(by.chain) || KUBE_PROXY.test(by.place) || [rule, from].some(isForMarked))),
  );
}

/** Whether a rule is only for what has a mark, which a pod's own packet has not: where a mark is not known, it may match. */
function isForMarked({ conditions }: TraceRule): boolean {
  return conditions.some((one) => one.kind === "mark" && (one.value === 0) === one.negated);
}

/** Where a rule of iptables is. For an agent with nftables all of them are ahead: its rules come after these. */
export function placeOf(facts: Facts, { hook, from, family }: Deviation) {
  if (!facts.own.isInNatTable) return "ahead of ours";
  const own = ownJump(facts, family);
  if (own?.hook !== hook) return "beside ours";
  return from.number < own.jump.number ? "ahead of ours" : "after ours";
}

function asksSender(condition: Condition): boolean {
  return condition.kind === "in" || (condition.kind === "address" && condition.side === "source");
}

/** How bad a rule is, and in which words. */
export function weigh(
  facts: Facts,
  deviation: Deviation,
  isFront: boolean,
): { readonly say: typeof error; readonly effect: string } {
  const { family, hook, by, rule, from, verdict, destinations, isForAll } = deviation;
  if (verdict === "unknown")
    return {
      say: info,
      effect: "is of a kind that doctor does not know, and may decide about pods' packets",
    };
  const taker = isForAll ? takerOf(facts, family, hook) : undefined;
  if (taker !== undefined && taker.chain === by.chain && taker.number === by.number)
    return { say: isFront ? error : warning, effect: "masquerades all traffic" };
  const { first, last } = LINK_LOCAL[family];
  const isLinkLocal = destinations.every((one) => first <= one.first && one.last <= last);
  if (isLinkLocal && (verdict === "masquerade" || isNodes(facts, family, rule.action)))
    return { say: info, effect: "masquerades traffic to link-local addresses" };
  const isBySender = [rule, from].some(({ conditions }) => conditions.some(asksSender));
  if (isForAll || !isBySender || podIntervals(facts, family).length > 0)
    return { say: warning, effect: "masquerades matching traffic" };
  // Without pods nothing matches it, unless we do not know whether there are any.
  const isKnown = known(facts.links) !== undefined;
  const why = isKnown ? "no pods are visible here" : "the networks of pods could not be read";
  return { say: isKnown ? info : warning, effect: `may masquerade pods' packets (${why})` };
}

/**
 * Third-party rules that decide about pods' packets differently from our configuration. A rule is weighed by whose packets it
 * matches and where they go: Docker's for its own containers, or one that masquerades only what we masquerade as well, does no
 * harm.
 */

import type { Family } from "../core/cidr.ts";
import { type Interval, meetIntervals, subtractIntervals } from "../core/intervals.ts";
import { known } from "../system/fact.ts";
import type { Facts, HookChain, NatRule, NatTable } from "./facts.ts";
import { error, type FindingText, info, warning } from "./finding.ts";
import { isKubelets } from "./kubelet.ts";
import { inTable, jumpTargets, ownTables, sendersOf } from "./nat-tables.ts";
import { isSourceNat, MAX_PASSED, type Passed, walkBase } from "./nat-walk.ts";
import { podIntervals } from "./rule-scope.ts";

/** Chains that masquerade only what is marked, or a pod's traffic to itself. */
const HARMLESS = new Set(["KUBE-POSTROUTING", "CNI-HOSTPORT-MASQ"]);

export const OPENSHIFT = /^OPENSHIFT-MASQUERADE/;

/** The chain that GKE and kube-up make on a node when it starts, for their own agent to take over. */
export const GKE_CHAIN = "IP-MASQ";

/** Here a platform has services of its own, such as a cloud's metadata. */
const LINK_LOCAL: Readonly<Record<Family, Interval>> = {
  IPv4: { first: 0xa9fe_0000n, last: 0xa9fe_ffffn },
  IPv6: { first: 0xfe80n << 112n, last: (0xfec0n << 112n) - 1n },
};

/** A third-party rule on pods' way that decides differently from the configuration, or may. */
export interface Placed extends Passed {
  readonly place: "ahead of ours" | "after ours" | "beside ours";
}

function walkTable(
  facts: Facts,
  { chains, family }: NatTable,
  without: readonly string[],
): readonly Passed[] {
  const senders = sendersOf(facts, family);
  return walkBase({ chains, base: "POSTROUTING", senders, without: new Set(without) });
}

/** Those of a table of iptables. For an agent with nftables all of them are ahead: its rules come after these. */
export function foreignPasses(facts: Facts, table: NatTable): readonly Placed[] {
  const { chain } = facts.settings;
  const harmless = [...table.chains.keys()].filter((name) => HARMLESS.has(name) || OPENSHIFT.test(name));
  const passed = walkTable(facts, table, [chain, ...jumpTargets(table), ...harmless]);
  const jump = passed.findIndex(({ rule }) => rule.target === chain);
  const isOwn = ownTables(facts).includes(table) && jump >= 0;
  return passed.flatMap((one, at) => {
    const isFront = !facts.own.isInNatTable || (isOwn && at < jump);
    if (
      !isSourceNat(one.rule) ||
      isKubelets(one.rule) ||
      !decidesDifferently(facts, table.family, one, isFront)
    )
      return [];
    return { ...one, place: isFront ? "ahead of ours" : isOwn ? "after ours" : "beside ours" };
  });
}

/** Those of a base chain of nftables. In the table that iptables calls nat, our chain and kube-proxy's may be among the others. */
export function hookPasses(facts: Facts, hook: HookChain): readonly Passed[] {
  const { chains, chain: base, family } = hook;
  const without = new Set([facts.settings.chain, ...HARMLESS]);
  const isFront = hook.priority <= facts.own.priority;
  return walkBase({ chains, base, senders: sendersOf(facts, family), without }).filter(
    (one) => isSourceNat(one.rule) && decidesDifferently(facts, family, one, isFront),
  );
}

/** Ahead of us, an address that is not the node's matters too; after us comes only what we keep. */
function decidesDifferently(
  facts: Facts,
  family: Family,
  { rule, destinations }: Passed,
  isFront: boolean,
): boolean {
  if (isHairpin(rule)) return false;
  const kept = known(facts.config)?.kept?.get(family);
  if (kept === undefined || (isFront && !isLikeMasquerade(facts, family, rule)))
    return destinations.length > 0;
  return meetIntervals(destinations, kept).length > 0;
}

/** SNAT to an address of the node shows what MASQUERADE would show. */
function isLikeMasquerade({ links }: Facts, family: Family, { target, to = [] }: NatRule): boolean {
  const own = known(links)?.own ?? [];
  return (
    target === "MASQUERADE" ||
    (to.length > 0 &&
      to.every(
        ({ first, last }) =>
          first === last && own.some((one) => one.family === family && one.address === first),
      ))
  );
}

/** From one address to the same: a pod that reaches itself through its Service gets no answer without it. */
function isHairpin({ scope: { sources, destinations } }: NatRule): boolean {
  const [from, to] = [sources, destinations].map((side) => (side?.length === 1 ? side[0] : undefined));
  const isOne = from !== undefined && from.first === from.last;
  return isOne && from.first === to?.first && from.last === to.last;
}

/** Says that a table has more rules than we follow. */
export function tooMany(facts: Facts, table: NatTable): readonly FindingText[] {
  if (walkTable(facts, table, []).length < MAX_PASSED) return [];
  return [
    warning(
      `${inTable(table)}: doctor looked only at the first ${MAX_PASSED} rules that pods' packets pass`,
      `look through the others: ${inTable(table)} -S`,
    ),
  ];
}

/** How bad a rule is, and in which words. */
export function weigh(
  facts: Facts,
  family: Family,
  { rule, from, certain, answer, destinations }: Passed,
  isFront: boolean,
): { readonly say: typeof error; readonly effect: string } {
  if (certain) return { say: isFront ? error : warning, effect: "masquerades all traffic" };
  if (isLikeMasquerade(facts, family, rule) && isLinkLocal(family, destinations))
    return { say: info, effect: "masquerades traffic to link-local addresses" };
  const isBySender = [rule, from].some(
    ({ scope }) => scope.sources !== undefined || scope.inputs !== undefined,
  );
  if (answer === "yes" || !isBySender || podIntervals(sendersOf(facts, family)).length > 0)
    return { say: warning, effect: "masquerades matching traffic" };
  // Without pods nothing matches it, unless we do not know whether there are any.
  const isKnown = known(facts.links) !== undefined;
  const why = isKnown ? "no pods are visible here" : "the networks of pods could not be read";
  return { say: isKnown ? info : warning, effect: `may masquerade pods' packets (${why})` };
}

function isLinkLocal(family: Family, destinations: readonly Interval[]): boolean {
  return subtractIntervals(destinations, [LINK_LOCAL[family]]).length === 0;
}

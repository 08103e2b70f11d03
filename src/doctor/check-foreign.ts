/**
 * Checks of `doctor`: rules of others that decide about pods' packets otherwise than our configuration. A rule is weighed by whose
 * packets it matches and where they go: Docker's for its own containers, or one that masquerades only what we masquerade as well,
 * does no harm.
 */

import { NFT_FAMILIES } from "../core/cidr.ts";
import { meetIntervals } from "../core/intervals.ts";
import { known } from "../system/fact.ts";
import { isKubelets } from "./check-kubelet.ts";
import { inTable, jumpTargets, natTables, ownTables, sendersOf } from "./check-own.ts";
import type { Facts, HookChain, NatRule, NatTable } from "./facts.ts";
import { error, type FindingText, info, warning } from "./finding.ts";
import { isSourceNat, MAX_PASSED, type Passed, walkBase } from "./nat-walk.ts";
import { podIntervals } from "./rule-scope.ts";

/** Chains that masquerade only what is marked, or a pod's traffic to itself. */
const HARMLESS = new Set(["KUBE-POSTROUTING", "CNI-HOSTPORT-MASQ"]);

const OPENSHIFT = /^OPENSHIFT-MASQUERADE/;

/** The chain that GKE and kube-up make on a node when it starts, for their own agent to take over. */
const GKE_CHAIN = "IP-MASQ";

/** OpenShift's SDN masquerades on its own. */
export function openshift(facts: Facts): readonly FindingText[] {
  return natTables(facts).flatMap((table) => {
    const chains = [...table.chains.keys()].filter((chain) => OPENSHIFT.test(chain));
    if (chains.length === 0) return [];
    return warning(
      `${inTable(table)}: OpenShift masquerades by its own rules (${chains.join(", ")})`,
      "configure egress in OpenShift, and do not run the agent beside its network plugin",
    );
  });
}

/** A chain of the platform's: nothing to delete, for the platform makes it again, and an agent may be using it. */
export function oldChain(facts: Facts): readonly FindingText[] {
  if (facts.settings.chain === GKE_CHAIN) return [];
  return enabledTables(facts).flatMap((table) => {
    if (!table.chains.has(GKE_CHAIN) || jumpTargets(table).includes(GKE_CHAIN)) return [];
    const isUsed = [...table.chains.values()].flat().some(({ target }) => target === GKE_CHAIN);
    const what = `${inTable(table)}: chain ${GKE_CHAIN}, which GKE and kube-up make when a node starts,`;
    if (!isUsed) return info(`${what} is there, and no rule leads to it`);
    const harmful = foreignPasses(facts, table).filter(({ rule }) => rule.chain === GKE_CHAIN);
    if (harmful.length === 0) return info(`${what} masquerades nothing that the configuration keeps`);
    return warning(
      `${what} masquerades some of what the configuration keeps`,
      `let the agent take it over with --masq-chain=${GKE_CHAIN}, or keep only what it keeps; do not delete it: the node makes it again`,
    );
  });
}

/** Rules of iptables that set the source of packets that our configuration decides about. */
export function foreignNat(facts: Facts): readonly FindingText[] {
  return enabledTables(facts).flatMap((table) => {
    const passed = foreignPasses(facts, table).filter(({ rule }) => rule.chain !== GKE_CHAIN);
    return [...passed.map((one) => describe(facts, table, one)), ...tooMany(facts, table)];
  });
}

function enabledTables(facts: Facts): readonly NatTable[] {
  return natTables(facts).filter(({ family }) => facts.settings.families.includes(family));
}

interface Placed extends Passed {
  readonly place: string;
}

/** Where all rules of iptables are for an agent with nftables: it takes the place behind them. */
const IN_FRONT = "in front of ours";

function walkTable(
  facts: Facts,
  { chains, family }: NatTable,
  without: readonly string[],
): readonly Passed[] {
  const senders = sendersOf(facts, family);
  return walkBase({ chains, base: "POSTROUTING", senders, without: new Set(without) });
}

/** The rules of others in a table that decide otherwise than the configuration, or may. */
function foreignPasses(facts: Facts, table: NatTable): readonly Placed[] {
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
      !decidesOtherwise(facts, table.family, one, isFront)
    )
      return [];
    return { ...one, place: isFront ? IN_FRONT : isOwn ? "behind ours" : "beside ours" };
  });
}

/** In front of us, an address that is not that of our MASQUERADE matters too; behind us comes only what we keep. */
function decidesOtherwise(
  { config }: Facts,
  family: NatTable["family"],
  { rule, destinations }: Pick<Passed, "rule" | "destinations">,
  isFront: boolean,
): boolean {
  if (isHairpin(rule)) return false;
  const kept = known(config)?.kept?.get(family);
  if (kept === undefined || (isFront && rule.target !== "MASQUERADE")) return destinations.length > 0;
  return meetIntervals(destinations, kept).length > 0;
}

/** From one address to the same: a pod that reaches itself through its Service gets no answer without it. */
function isHairpin({ scope: { sources, destinations } }: NatRule): boolean {
  const [from, to] = [sources, destinations].map((side) => (side?.length === 1 ? side[0] : undefined));
  const isOne = from !== undefined && from.first === from.last;
  return isOne && from.first === to?.first && from.last === to.last;
}

function tooMany(facts: Facts, table: NatTable): readonly FindingText[] {
  if (walkTable(facts, table, []).length < MAX_PASSED) return [];
  return [
    warning(
      `${inTable(table)}: only the first ${MAX_PASSED} rules that pods' packets pass were looked at`,
      `look through the others: ${inTable(table)} -S`,
    ),
  ];
}

const FIND =
  "find who made it (its comment, the CNI plugin, a firewall), and switch its masquerading off there or narrow it";

function describe(facts: Facts, table: NatTable, one: Placed): FindingText {
  const { rule, from, place } = one;
  const via = rule === from ? "" : `, reached by "${from.text}"`;
  const { say, effect } = weigh(facts, table.family, one, place === IN_FRONT);
  return say(
    `${inTable(table)}: a rule of others ${place} ${effect}, whatever the configuration says: ${rule.text}${via}`,
    FIND,
  );
}

/** How bad it is, and in which words. */
function weigh(
  facts: Facts,
  family: NatTable["family"],
  { rule, from, certain, answer }: Passed,
  isFront: boolean,
): { readonly say: typeof error; readonly effect: string } {
  if (certain) return { say: isFront ? error : warning, effect: "masquerades everything" };
  const isBySender = [rule, from].some(
    ({ scope }) => scope.sources !== undefined || scope.inputs !== undefined,
  );
  if (answer === "yes" || !isBySender || podIntervals(sendersOf(facts, family)).length > 0)
    return { say: warning, effect: "masquerades what it matches" };
  // Without pods there is nothing that it could match, unless it is not known whether there are any.
  const isKnown = known(facts.links) !== undefined;
  const why = isKnown ? "no pods are seen here" : "which networks pods have could not be read";
  return { say: isKnown ? info : warning, effect: `may masquerade pods' packets (${why})` };
}

/** Chains of nftables at the same hook that set the source. The first that does so wins, and after our return the next decides. */
export function foreignChains(facts: Facts): readonly FindingText[] {
  const { families, chain } = facts.settings;
  const hooks = facts.hooks.flatMap((fact) => known(fact) ?? []);
  return hooks
    .filter(({ family }) => families.includes(family))
    .flatMap((hook) => {
      const isFront = hook.priority <= facts.own.priority;
      const passed = walkHook(facts, hook, chain).filter(
        (one) => isSourceNat(one.rule) && decidesOtherwise(facts, hook.family, one, isFront),
      );
      return passed.length === 0 ? [] : describeHook(facts, hook, passed, isFront);
    });
}

/** In the table that iptables calls nat our own chain may be among the others, and kube-proxy's. */
function walkHook(facts: Facts, { chains, chain: base, family }: HookChain, own: string): readonly Passed[] {
  const without = new Set([own, ...HARMLESS]);
  return walkBase({ chains, base, senders: sendersOf(facts, family), without });
}

function describeHook(
  facts: Facts,
  hook: HookChain,
  passed: readonly Passed[],
  isFront: boolean,
): FindingText {
  const where = isFront ? "is evaluated before ours" : "is evaluated after ours has returned";
  const worst = passed.find(({ certain }) => certain) ?? passed[0];
  const { say, effect } = weigh(facts, hook.family, worst as Passed, isFront);
  const table = hook.place.replace(/^table /, "");
  return say(
    `nftables: chain ${table} ${hook.chain} (priority ${hook.priority}) ${where} and ${effect} (${hook.family}): ${worst?.rule.text}`,
    `see: nft list table ${table}; switch it off where it is made, or narrow it`,
  );
}

/** Chains that iptables cannot show, since somebody has made something else in its table. */
export function incompatibleTable(facts: Facts): readonly FindingText[] {
  const { chain } = facts.settings;
  return facts.incompatible.map((family) => {
    const table = `${NFT_FAMILIES[family]} nat`;
    const found = facts.hooks.flatMap((hook) => known(hook) ?? []);
    const hook = found.find((one) => one.family === family && one.place === `table ${table}`);
    const state = facts.own.isInNatTable ? `; ${ownState(hook, chain)}` : "";
    return warning(
      `table ${table} has rules that were made with nft in iptables' own table, so that iptables cannot list it${state}`,
      `move those rules into a table of their own: nft -a list table ${table} shows them (those without "xt" or a comment of ours)`,
    );
  });
}

function ownState(hook: HookChain | undefined, chain: string): string {
  if (hook === undefined)
    return "nor could it be read with nft: whether the agent's rules are in force is not known";
  const rules: readonly NatRule[] = hook.chains.get(chain) ?? [];
  const isLed = (hook.chains.get(hook.chain) ?? []).some(({ target }) => target === chain);
  const isWhole = rules.at(-1)?.target === "MASQUERADE";
  if (isLed && isWhole)
    return `the agent's chain ${chain} and the jump to it are there, and it goes on working`;
  return `chain ${chain} ${isWhole ? "has no jump to it" : "is not there, or not whole"}: the agent's rules are not in force`;
}

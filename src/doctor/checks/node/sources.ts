/** Whether packets of this node's pods are among those that the configuration has masqueraded. */
import { ADDRESS_BITS, formatAddress, formatCidr } from "../../../core/cidr.ts";
import { decompose, type Interval, includes, subtractIntervals } from "../../../core/intervals.ts";
import type { Ruleset } from "../../../core/ruleset.ts";
import { sourceBlocks, sourceIntervals } from "../../../core/sources.ts";
import { known } from "../../../system/fact.ts";
import { firstNames } from "../../../text/plural.ts";
import type { Check, Facts } from "../../facts.ts";
import { error, type FindingText, info } from "../../finding.ts";
import { intervalOf, type PodNetwork, widestNetworks } from "../../pod-networks.ts";

/** As many as fit a line. */
const SHOWN = 3;

export const sources: Check = {
  name: "sources",
  severity: "error",
  looksFor:
    "a network of this node's pods that masqueradeSourceCIDRs leaves out; info: one in nonMasqueradeSourceCIDRs, and the node's own addresses among the sources",
  remedy: "add the network to masqueradeSourceCIDRs",
  run: (facts) => (known(facts.config)?.rulesets ?? []).flatMap((ruleset) => lookAt(facts, ruleset)),
};

function lookAt(facts: Facts, ruleset: Ruleset): readonly FindingText[] {
  const { family, scope } = ruleset;
  const ours = sourceIntervals(family, scope);
  if (scope === undefined || ours === undefined) return [];
  const all = [
    ...(known(facts.links)?.networks ?? []),
    ...facts.podNetworks.flatMap((one) => known(one) ?? []),
  ];
  const networks = all.filter(({ cidr, isLocal }) => isLocal && cidr.family === family);
  return [...describeSources(networks, ruleset), ...ownAmong(facts, ruleset, ours)];
}

/** A network of which some packets are not ours. */
interface Cut {
  readonly network: PodNetwork;
  readonly isWhole: boolean;
  /** The part that no list has; empty where `nonMasqueradeSourceCIDRs` has all that is not ours. */
  readonly left: readonly Interval[];
}

/** The findings about the pods of networks of one family: one for each network, one for all pods that are known one by one. */
export function describeSources(
  networks: readonly PodNetwork[],
  ruleset: Pick<Ruleset, "family" | "scope">,
): readonly FindingText[] {
  const cuts = widestNetworks(networks).flatMap((network) => cutOf(network, ruleset) ?? []);
  const isPod = ({ network: { cidr } }: Cut) => cidr.bits === ADDRESS_BITS[cidr.family];
  const lost = cuts.filter(({ left }) => left.length > 0);
  const meant = cuts.filter(({ left }) => left.length === 0);
  return [
    ...lost.filter((one) => !isPod(one)).map((one) => notMasqueraded([one], ruleset)),
    ...(lost.some(isPod) ? [notMasqueraded(lost.filter(isPod), ruleset)] : []),
    ...meant.filter((one) => !isPod(one)).map((one) => onPurpose([one])),
    ...(meant.some(isPod) ? [onPurpose(meant.filter(isPod))] : []),
  ];
}

function cutOf(network: PodNetwork, { family, scope }: Pick<Ruleset, "family" | "scope">): Cut | undefined {
  const whole = intervalOf(network.cidr);
  const missing = subtractIntervals([whole], sourceIntervals(family, scope) ?? [whole]);
  const [first] = missing;
  if (first === undefined) return undefined;
  const excepted = (scope?.sources ?? []).flatMap(({ isOurs, cidr }) => (isOurs ? [] : intervalOf(cidr)));
  const left = excepted.reduce((rest, one) => subtractIntervals(rest, [one]), missing);
  return { network, isWhole: first.first === whole.first && first.last === whole.last, left };
}

function notMasqueraded(
  cuts: readonly Cut[],
  { family, scope }: Pick<Ruleset, "family" | "scope">,
): FindingText {
  const listed = sourceBlocks(family, scope).ours.map(formatCidr);
  const left = cuts.flatMap((cut) => cut.left.flatMap((one) => decompose(family, one))).map(formatCidr);
  const blocks = firstNames(left, SHOWN);
  return error(
    `${namesOf(cuts)} are not masqueraded: masqueradeSourceCIDRs has ${firstNames(listed, SHOWN)}, not ${blocks}`,
    `add ${blocks} to masqueradeSourceCIDRs, or to nonMasqueradeSourceCIDRs if that is meant`,
  );
}

function onPurpose(cuts: readonly Cut[]): FindingText {
  const some = cuts.every(({ isWhole }) => isWhole) ? "" : "some ";
  return info(`${some}${namesOf(cuts)} are not masqueraded, as nonMasqueradeSourceCIDRs says`);
}

function namesOf(cuts: readonly Cut[]): string {
  const names = cuts.map(({ network }) => formatCidr(network.cidr));
  const [{ network } = { network: undefined }] = cuts;
  return `pods ${cuts.length > 1 ? "with" : "of"} ${firstNames(names, SHOWN)} (${network?.from})`;
}

/** Sources keep the node's own connections out only where these have other addresses than pods. */
function ownAmong(
  facts: Facts,
  { family, scope }: Ruleset,
  ours: readonly Interval[],
): readonly FindingText[] {
  if (!scope?.sources.some(({ isOurs }) => isOurs)) return [];
  const own = (known(facts.links)?.own ?? []).filter(
    (one) => one.family === family && includes(ours, one.address),
  );
  if (own.length === 0) return [];
  const names = firstNames(
    own.map(({ address }) => formatAddress(family, address)),
    SHOWN,
  );
  return [info(`the node's own ${names} is among the sources: its own connections are masqueraded too`)];
}

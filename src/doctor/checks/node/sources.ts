/** Whether packets of this node's pods are among those that the configuration has masqueraded. */
import { formatAddress, formatCidr } from "../../../core/cidr.ts";
import { decompose, type Interval, includes, subtractIntervals } from "../../../core/intervals.ts";
import type { Ruleset } from "../../../core/ruleset.ts";
import { sourceBlocks, sourceIntervals } from "../../../core/sources.ts";
import { known } from "../../../system/fact.ts";
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
  return [
    ...widestNetworks(networks).flatMap((network) => describeSources(network, ruleset)),
    ...ownAmong(facts, ruleset, ours),
  ];
}

/** What is to say about the pods of a network, of which some may not be ours. */
export function describeSources(
  { cidr, from }: PodNetwork,
  { family, scope }: Pick<Ruleset, "family" | "scope">,
): readonly FindingText[] {
  const ours = sourceIntervals(family, scope);
  if (ours === undefined) return [];
  const missing = subtractIntervals([intervalOf(cidr)], ours);
  const { ours: covered } = sourceBlocks(family, scope);
  const excepted = (scope?.sources ?? [])
    .filter((entry) => !entry.isOurs)
    .map((entry) => intervalOf(entry.cidr));
  const left = excepted.reduce((rest, one) => subtractIntervals(rest, [one]), missing);
  const pods = `pods of ${formatCidr(cidr)} (${from})`;
  if (left.length > 0) {
    const blocks = shorten(left.flatMap((one) => decompose(family, one)).map(formatCidr));
    return [
      error(
        `${pods} are not masqueraded: masqueradeSourceCIDRs has ${shorten(covered.map(formatCidr))}, not ${blocks}`,
        `add ${blocks} to masqueradeSourceCIDRs, or to nonMasqueradeSourceCIDRs if that is meant`,
      ),
    ];
  }
  if (missing.length === 0) return [];
  const isWhole =
    missing.length === 1 && missing[0]?.first === cidr.base && missing[0].last === intervalOf(cidr).last;
  return [info(`${isWhole ? "" : "some "}${pods} are not masqueraded, as nonMasqueradeSourceCIDRs says`)];
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
  const names = shorten(own.map(({ address }) => formatAddress(family, address)));
  return [info(`the node's own ${names} is among the sources: its own connections are masqueraded too`)];
}

function shorten(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(", ");
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}

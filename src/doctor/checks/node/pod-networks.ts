/** Pods' own networks that the list does not keep, so that pods see each other with nodes' addresses. */

import { ADDRESS_BITS, type Family, formatCidr } from "../../../core/cidr.ts";
import { decompose, type Interval, subtractIntervals } from "../../../core/intervals.ts";
import { known } from "../../../system/fact.ts";
import { firstNames } from "../../../text/plural.ts";
import type { Check, Facts } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";
import { podsOf } from "../../packets.ts";
import { intervalOf, type PodNetwork, widestNetworks } from "../../pod-networks.ts";

/** As many as fit a line. */
const SHOWN = 3;

export const podNetworks: Check = {
  name: "pod-networks",
  severity: "warning",
  looksFor:
    "a network of pods that the list does not keep, so that pods see each other with nodes' addresses; info if none is known",
  remedy: "add the network to nonMasqueradeCIDRs",
  run: lookAt,
};

/** Networks of pods, wherever they were learnt, of which the list does not keep every address. */
function lookAt(facts: Facts): readonly FindingText[] {
  const config = known(facts.config);
  if (config === undefined) return [];
  const { kept } = config;
  if (kept === undefined)
    return [info("whether pods' own networks are kept was not checked: the configuration is bad")];
  return facts.settings.families.flatMap((family): readonly FindingText[] => {
    const networks = (podsOf(facts)?.networks ?? []).filter(({ cidr }) => cidr.family === family);
    if (networks.length === 0) return [noneKnown(family)];
    return describeUncovered(networks, kept.get(family) ?? [], config.entries === 0);
  });
}

/** The warnings about networks of one family of which these destinations leave some out; `isEmpty`: the list has no entries. */
export function describeUncovered(
  networks: readonly PodNetwork[],
  kept: readonly Interval[],
  isEmpty: boolean,
): readonly FindingText[] {
  const uncovered = widestNetworks(networks).flatMap((network) => {
    const { cidr } = network;
    const missing = subtractIntervals([intervalOf(cidr)], kept);
    return missing.length === 0
      ? []
      : { network, missing: missing.flatMap((one) => decompose(cidr.family, one)).map(formatCidr) };
  });
  const isPod = ({ network: { cidr } }: Uncovered) => cidr.bits === ADDRESS_BITS[cidr.family];
  const pods = uncovered.filter(isPod);
  return [
    ...uncovered.filter((one) => !isPod(one)).map((one) => describe(one, isEmpty)),
    ...(pods.length === 0 ? [] : [describeAll(pods, isEmpty)]),
  ];
}

interface Uncovered {
  readonly network: PodNetwork;
  readonly missing: readonly string[];
}

function noneKnown(family: Family): FindingText {
  return info(
    `no ${family} network of pods is known here: whether the list keeps it was not checked`,
    "name it: ip-masq-agent doctor --cluster-cidr=CIDR",
  );
}

function describe({ network: { cidr, from }, missing }: Uncovered, isEmpty: boolean): FindingText {
  const name = formatCidr(cidr);
  const isWhole = missing.length === 1 && missing[0] === name;
  const why = isEmpty
    ? "the list is empty, so that only link-local is kept"
    : isWhole
      ? "no entry contains it"
      : `the list does not keep ${firstNames(missing, SHOWN)}`;
  return say(`pods of ${name} (${from})`, why, isWhole ? "it" : firstNames(missing, SHOWN), isEmpty);
}

/** Pods that are known one by one. */
function describeAll(pods: readonly Uncovered[], isEmpty: boolean): FindingText {
  const names = firstNames(
    pods.map(({ network }) => formatCidr(network.cidr)),
    SHOWN,
  );
  const why = isEmpty ? "the list is empty, so that only link-local is kept" : "no entry contains them";
  return say(`pods with ${names} (${pods[0]?.network.from})`, why, "their network", isEmpty);
}

function say(pods: string, why: string, what: string, isEmpty: boolean): FindingText {
  const onPurpose = isEmpty ? ", unless the list is empty on purpose and pods may be seen as nodes" : "";
  return warning(
    `${pods} are masqueraded towards each other: ${why}`,
    `add ${what} to nonMasqueradeCIDRs${onPurpose}`,
  );
}

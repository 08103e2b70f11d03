/** Addresses of outputAddresses with which packets may leave, but replies may not come back. */
import { type Cidr, formatAddress, formatCidr, lastAddress } from "../../../core/cidr.ts";
import type { AddressPool, Ruleset } from "../../../core/ruleset.ts";
import { leavesThroughOurs } from "../../../core/sources.ts";
import { known } from "../../../system/fact.ts";
import { counted } from "../../../text/plural.ts";
import type { Check, Facts } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";
import type { NamedAddress } from "../../pod-networks.ts";

export const outputAddresses: Check = {
  name: "output-addresses",
  severity: "warning",
  looksFor:
    "outputAddresses without an address of this node, with one on a link of pods, with unique local and global ones together, or with one that is not in the network of the link that packets leave through (info: on lo)",
  remedy: "list addresses that the network outside routes to this node",
  run(facts) {
    const { rulesets = [], outputAddresses: blocks = [] } = known(facts.config) ?? {};
    return rulesets.flatMap((ruleset) => {
      const ofFamily = blocks.filter(({ family }) => family === ruleset.family);
      const { pool } = ruleset.masquerade;
      if (ofFamily.length === 0) return [];
      return pool === undefined ? [none(ruleset)] : lookAt(facts, ruleset, pool);
    });
  },
};

function none({ family }: Ruleset): FindingText {
  return warning(
    `${family}: this node has no address in outputAddresses, so that packets leave with the address that the kernel chooses`,
    "put such an address on a link of this node, or take the key out",
  );
}

function lookAt(facts: Facts, ruleset: Ruleset, pool: AddressPool): readonly FindingText[] {
  const { family } = ruleset;
  const { addresses = [], links } = known(facts.links) ?? {};
  const ours = addresses.filter((one) => one.family === family && pool.addresses.includes(one.address));
  return [
    ...mixed(ruleset, pool),
    ...ours.filter(({ link }) => links?.get(link) === true).map(onPodLink),
    ...ours
      .filter(({ link }) => links?.get(link) !== true)
      .flatMap((one) => elsewhere(facts, ruleset, one, addresses)),
  ];
}

function mixed({ family }: Ruleset, { addresses }: AddressPool): readonly FindingText[] {
  const local = addresses.filter((address) => family === "IPv6" && address >> 121n === 0x7en);
  if (local.length === 0 || local.length === addresses.length) return [];
  return [
    warning(
      `IPv6: of ${counted(addresses.length, "address")} in outputAddresses, ${local.length} are unique local (fc00::/7), from which nothing outside answers`,
      "list either global or unique local addresses",
    ),
  ];
}

function onPodLink({ family, address, link }: NamedAddress): FindingText {
  return warning(
    `${formatAddress(family, address)} in outputAddresses is on ${link}, to which pods are attached: the network outside does not know it`,
    "take it out of outputAddresses",
  );
}

/** An address on another link than that of the way out: replies come only if the network outside routes it here. */
function elsewhere(
  facts: Facts,
  { family, scope }: Ruleset,
  one: NamedAddress,
  addresses: readonly NamedAddress[],
): readonly FindingText[] {
  const uplinks = (known(facts.links)?.uplinks ?? []).flatMap((uplink) =>
    uplink.family === family && uplink.name !== undefined ? [uplink.name] : [],
  );
  const foreign = [...new Set(uplinks)].filter(
    (name) =>
      name !== one.link &&
      leavesThroughOurs({ interfaces: scope?.interfaces ?? [] }, name) &&
      !addresses.some(({ link, network }) => link === name && isIn(network, one.address)),
  );
  if (foreign.length === 0) return [];
  const text = `${formatAddress(family, one.address)} in outputAddresses (on ${one.link}, ${formatCidr(one.network)}) is in no network of ${foreign.join(", ")}, through which packets leave`;
  return one.link === "lo"
    ? [info(`${text}: replies come only if the network outside routes it to this node`)]
    : [
        warning(
          `${text}: replies may not come back`,
          "check that the network outside routes it to this node",
        ),
      ];
}

function isIn(network: Cidr, address: bigint): boolean {
  return network.base <= address && address <= lastAddress(network);
}

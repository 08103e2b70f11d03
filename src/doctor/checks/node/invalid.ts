/**
 * Packets that conntrack calls INVALID, such as a late RST or FIN, belong to no connection, and no NAT
 * translates them. Only a rule that drops them on their way through the node keeps them from leaving with a pod's address.
 */

import type { Family } from "../../../core/cidr.ts";
import { isKnown, known } from "../../../system/fact.ts";
import { tracePacket } from "../../../trace/trace.ts";
import type { Check, Facts } from "../../facts.ts";
import { type FindingText, info } from "../../finding.ts";
import { OUTSIDE, openPacket, type PacketSpace, packetSpace } from "../../packets.ts";
import { describeDrop } from "./forward.ts";

const LIBERAL = "net.netfilter.nf_conntrack_tcp_be_liberal";

const RULES: Readonly<Record<Family, string>> = {
  IPv4: "iptables -I FORWARD -m conntrack --ctstate INVALID -j DROP",
  IPv6: "ip6tables -I FORWARD -m conntrack --ctstate INVALID -j DROP",
};

export const invalid: Check = {
  name: "invalid",
  severity: "info",
  looksFor:
    "whether a rule drops packets that conntrack calls INVALID, such as a late RST or FIN: no NAT translates them, and they leave with the pod's address",
  remedy: "a rule that drops them in forward, unless routes are asymmetric",
  run: (facts) => facts.settings.families.map((family) => lookAt(facts, family)),
};

/** Says for a family what drops them, that nothing does, or where doctor could not look. */
function lookAt(facts: Facts, family: Family): FindingText {
  const unread = [facts.trace, ...facts.notTraced].flatMap((fact) => (isKnown(fact) ? [] : fact.unknown));
  const drop = dropFor(facts, family);
  if (drop !== undefined) return info(`INVALID packets are dropped in forward (${family}): ${drop}`);
  if (unread.length > 0)
    return info(
      `whether a rule drops INVALID packets in forward (${family}) is not known: could not read ${unread.join(", ")}`,
    );
  return info(
    `nothing drops INVALID packets in forward (${family}): late RST and FIN of pods leave with their address${liberal(facts)}`,
    `${RULES[family]} (in nftables, at hook forward: ct state invalid drop); not with asymmetric routes, where good packets are INVALID too`,
  );
}

function liberal({ sysctls }: Facts): string {
  const isOn = known(sysctls[LIBERAL])?.trim() === "1";
  return isOn ? `; ${LIBERAL} is 1, which spares only those of connections that are known` : "";
}

/** The rule that drops them, or a policy that nothing comes past. */
function dropFor(facts: Facts, family: Family): string | undefined {
  const rules = known(facts.trace);
  if (rules === undefined) return undefined;
  const hooks = rules.hooks.filter((hook) => hook.families.includes(family) && !hook.isNat);
  const space = packetSpace(facts, family, hooks, []);
  for (const link of linksOf(space)) {
    const packet = { ...openPacket(space, OUTSIDE[family]), ...link, ...LATE_RST };
    const { possible, otherwise } = tracePacket(hooks, packet, rules.local);
    const outcomes = [...possible, otherwise];
    const isSure = outcomes.every(({ verdict }) => verdict === "drop");
    const drop = outcomes.find(
      ({ verdict, by }) => verdict === "drop" && (isSure || ABOUT_INVALID.test(by?.text ?? "")),
    );
    if (drop !== undefined) return describeDrop(drop);
  }
  return undefined;
}

const LATE_RST = { tracking: "invalid", protocol: "tcp", port: 443 } as const;

/** The part of a rule that asks for this state; its other conditions may leave it open (kube-proxy's counter). */
const ABOUT_INVALID = /invalid/i;

/** Only some pods' links have rules of their own, as Calico's: one that drops them is enough to say so. */
function linksOf({ choices }: PacketSpace) {
  return choices.find(([first]) => first !== undefined && "in" in first) ?? [{}];
}

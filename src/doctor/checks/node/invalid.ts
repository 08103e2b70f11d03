/**
 * Packets that conntrack calls INVALID, such as a late RST or FIN, belong to no connection, and no NAT
 * translates them. Only a rule that drops them on their way through the node keeps them from leaving with a pod's address.
 */

import type { Family } from "../../../core/cidr.ts";
import { isKnown, known } from "../../../system/fact.ts";
import type { Certainty } from "../../../trace/match.ts";
import type { Check, Facts, HookChain, NatRule } from "../../facts.ts";
import { type FindingText, info } from "../../finding.ts";
import { sendersOf } from "../../nat-tables.ts";
import { isForPods, least, type Scope, type Senders } from "../../rule-scope.ts";

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
  const hooks = facts.forward.flatMap((fact) => known(fact) ?? []);
  const unread = facts.forward.flatMap((fact) => (isKnown(fact) ? [] : fact.unknown));
  const drops = hooks
    .filter((hook) => hook.family === family)
    .flatMap((hook) => dropIn(hook, sendersOf(facts, family)) ?? []);
  if (drops[0] !== undefined) return info(`INVALID packets are dropped in forward (${family}): ${drops[0]}`);
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
function dropIn(hook: HookChain, senders: Senders): string | undefined {
  const { chains, chain, place, policy } = hook;
  const seen = new Set<string>();
  /** Whether a rule may accept them, and whether one surely does. */
  let [mayPass, passes] = [false, false];
  /** `isAbout`: whether what comes here is INVALID, and not just anything. */
  const look = (name: string, isAbout: boolean, isSure: boolean): NatRule | undefined => {
    const key = `${name} ${isAbout} ${isSure}`;
    if (seen.has(key)) return undefined;
    seen.add(key);
    for (const rule of chains.get(name) ?? []) {
      const { scope, target = "" } = rule;
      const matches = matchesInvalid(scope, senders);
      if (matches === "no") continue;
      const about = isAbout || scope.states !== undefined;
      const sure = isSure && matches === "yes";
      if (target === "RETURN" && matches === "yes") return undefined;
      if (DROPS.includes(target) && (about || (sure && !mayPass))) return rule;
      mayPass ||= target === "ACCEPT";
      passes ||= sure && [...DROPS, "ACCEPT"].includes(target);
      const found = chains.has(target) ? look(target, about, sure) : undefined;
      if (found !== undefined || passes) return found;
    }
    return undefined;
  };
  const found = look(chain, false, true);
  if (found !== undefined) return `${place}, chain ${found.chain}: ${found.text}`;
  return policy === "drop" && !mayPass ? `${place}: the policy of chain ${chain}` : undefined;
}

const DROPS = ["DROP", "REJECT"];

/** A rule for pods alone counts, and one for others' containers does not. */
function matchesInvalid({ states, ...rest }: Scope, senders: Senders): Certainty {
  if (states?.invalid === false) return "no";
  return least([isForPods(rest, senders), rest.destinations === undefined ? "yes" : "maybe"]);
}

/** What a rule's action comes to where it is. */
import type { Action, Hook } from "./model.ts";

/**
 * What becomes of the packet. `keep`: no chain translates it. `redirect`: its destination is translated first; `untracked`: it
 * is exempted from NAT. `unknown`: a rule of a kind that we do not know may decide.
 */
export type Verdict = "masquerade" | "translate" | "keep" | "drop" | "redirect" | "untracked" | "unknown";

/** Conntrack sees the packet at this priority of prerouting (NF_IP_PRI_CONNTRACK). */
const CONNTRACK = -200;

/**
 * What a rule at this hook comes to; undefined where it does not matter. In front of source NAT rules of filter tables that drop count
 * only if they name the destination: what else they let pass is not ours to answer.
 */
export function verdictOf(
  kind: Exclude<Action["kind"], "accept" | "return" | "continue" | "jump" | "goto" | "mark">,
  { hook, isNat, priority }: Hook,
  namesDestination: boolean,
): Verdict | undefined {
  const isSourceNat = isNat && hook === "postrouting";
  switch (kind) {
    case "masquerade":
    case "translate":
      // NETMAP translates what its hook is about.
      return isSourceNat ? kind : isNat && hook === "prerouting" ? "redirect" : undefined;
    case "drop":
      return isSourceNat || namesDestination ? "drop" : undefined;
    case "untrack":
      return hook === "ingress" || (hook === "prerouting" && priority < CONNTRACK) ? "untracked" : undefined;
    case "unknown":
      return isNat ? "unknown" : undefined;
    case "rewrite":
      return "unknown";
    case "redirect":
      return kind;
  }
}

/** The effect of a rule's action, by its hook. */
import type { Action, Hook } from "./model.ts";

/**
 * The fate of the packet. `keep`: no chain translates it. `redirect`: its destination is translated; `untracked`: it is
 * exempted from NAT. `unknown`: a rule of a kind that we do not know may decide.
 */
export type Verdict = "masquerade" | "translate" | "keep" | "drop" | "redirect" | "untracked" | "unknown";

/** Conntrack sees the packet at this priority of prerouting (NF_IP_PRI_CONNTRACK). */
export const CONNTRACK = -200;

/** The effect of a rule at this hook; `none` where the action means nothing. */
export function effectOf(
  kind: Exclude<Action["kind"], "accept" | "return" | "continue" | "jump" | "goto" | "mark">,
  { hook, isNat, priority }: Hook,
): Exclude<Verdict, "keep"> | "none" {
  const isSourceNat = isNat && (hook === "postrouting" || hook === "input");
  switch (kind) {
    case "masquerade":
      return isSourceNat ? kind : "none";
    case "translate":
      // NETMAP translates the address that its hook can translate.
      return isSourceNat ? kind : isNat && hook === "prerouting" ? "redirect" : "none";
    case "untrack":
      return hook === "ingress" || (hook === "prerouting" && priority < CONNTRACK) ? "untracked" : "none";
    case "rewrite":
      return "unknown";
    case "unknown":
    case "drop":
    case "redirect":
      return kind;
  }
}

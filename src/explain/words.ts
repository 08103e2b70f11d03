/** The words of `explain` for the fate of packets. */
import type { OutcomeView } from "./view.ts";

/** Certain outcomes. */
export const WORDS: Readonly<Record<OutcomeView["verdict"], string>> = {
  keep: "keeps the pod's address",
  masquerade: "masqueraded",
  translate: "gets another source address",
  drop: "dropped",
  redirect: "translated first, to a destination that is not known",
  untracked: "exempted from NAT, so it keeps the pod's address",
  unknown: "decided by a rule that this program does not understand",
};

/** Possible outcomes. */
export const MAY: Readonly<Record<OutcomeView["verdict"], string>> = {
  keep: "may keep the pod's address",
  masquerade: "may be masqueraded",
  translate: "may get another source address",
  drop: "may be dropped",
  redirect: "may be translated first",
  untracked: "may be exempted from NAT, and keep the pod's address",
  unknown: "may be decided by a rule that this program does not understand",
};

/** The fate of a packet, with the address and the interface if they are known. */
export function outcomeText(outcome: OutcomeView): string {
  const { verdict, source, interface: out, endpoints, noRoute } = outcome;
  if (verdict === "redirect" && endpoints !== undefined) return `translated to ${placesText(endpoints)}`;
  if (noRoute !== undefined) return `dropped: ${noRoute}`;
  const by = out === undefined ? "" : ` (${out})`;
  if (source === undefined) return WORDS[verdict];
  return verdict === "translate" ? `leaves as ${source}${by}` : `${WORDS[verdict]} as ${source}${by}`;
}

/** The interface, where the address does not name it already. */
export function leavesText({ source, interface: out }: OutcomeView): string {
  return source === undefined && out !== undefined ? `, leaves by ${out}` : "";
}

/** The maximum in the text; JSON has all. */
const SHOWN = 8;

/** `10.9.8.7:80`, or `one of` several. */
export function placesText(
  places: readonly { readonly destination: string; readonly port?: number }[],
): string {
  const shown = places.slice(0, SHOWN).map(placeText).join(", ");
  const rest = places.length > SHOWN ? ` and ${places.length - SHOWN} more` : "";
  return `${places.length > 1 ? "one of " : ""}${shown}${rest}`;
}

function placeText({ destination, port }: { readonly destination: string; readonly port?: number }): string {
  if (port === undefined) return destination;
  return `${destination.includes(":") ? `[${destination}]` : destination}:${port}`;
}

/** The source that the receiver sees: `sees 192.0.2.1 (masqueraded by KUBE-POSTROUTING: mark 0x4000), leaves by eth0`. */
export function seenText(outcome: OutcomeView, verb: string): string {
  const { verdict, interface: out, source, by, mark } = outcome;
  const leaves = out === undefined ? "" : `, leaves by ${out}`;
  const marked = mark === undefined ? "" : `: mark ${mark}`;
  const chain = by === undefined ? "" : ` by ${by.chain}${marked}`;
  switch (verdict) {
    case "keep":
      return `${verb} the pod's address${leaves}`;
    case "untracked":
      return `${verb} the pod's address (exempted from NAT${chain})${leaves}`;
    case "masquerade":
      return `${verb} ${source ?? "an address of the node"} (masqueraded${chain})${leaves}`;
    case "translate":
      return `${verb} ${source ?? "another address"} (translated${chain})${leaves}`;
    case "drop":
      return `${verb} nothing (${dropText(outcome)})`;
    default:
      return `${verb} an unknown address (${WORDS[verdict]}${chain})`;
  }
}

function dropText({ by, policy, noRoute }: OutcomeView): string {
  if (noRoute !== undefined) return noRoute;
  if (policy !== undefined) return `dropped by the policy of ${policy.chain}`;
  return by === undefined ? "dropped" : `dropped by ${by.chain}`;
}

/** How a ruleset is laid out for iptables: rules of a chain, and elements of a set for a long list. */
import { formatCidr, isPassedOn } from "../core/cidr.ts";
import { decompose, longestPrefixIntervals } from "../core/intervals.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";
import { setElements, setName } from "./ipset.ts";

/** What stands in the chain, rule by rule, and what in a set that a rule of it looks up. */
export interface Layout {
  readonly entries: readonly Entry[];
  readonly set?: { readonly name: string; readonly elements: readonly string[] };
  readonly refusal?: string;
}

/** How many entries a user has written; link-local is none of them. */
export function configuredEntries({ entries }: Ruleset): number {
  return entries.filter(({ reason }) => reason !== "link-local").length;
}

/**
 * With port ranges an exception is masqueraded as everything else is, by the port rules at the end; so it only
 * has to be left out of what returns. The chain then holds what remains after subtraction, in address order.
 */
export function chainLayout({ family, entries, masquerade }: Ruleset): Layout {
  if (masquerade.toPorts.length === 0 || entries.every(({ verdict }) => verdict === "return"))
    return { entries };
  const choices = entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" }));
  const cidrs = longestPrefixIntervals(choices).flatMap((interval) => decompose(family, interval));
  return { entries: cidrs.map((cidr) => ({ cidr, verdict: "return", reason: "configured" })) };
}

/**
 * Link-local stays a rule of its own, as the Go program's, unless exceptions have to be weighed against it. It is in
 * the set all the same: a set is changed before the chain is, and in between nothing may be missing from both.
 */
export function setLayout(ruleset: Ruleset): Layout {
  const { entries } = ruleset;
  const hasExceptions = entries.some(({ verdict }) => verdict === "masquerade");
  const inChain = hasExceptions ? [] : entries.filter(({ reason }) => reason === "link-local");
  const bad = entries.find(({ cidr }) => isPassedOn(cidr))?.cidr;
  const refusal =
    bad === undefined
      ? {}
      : { refusal: `write ${formatCidr(bad)} instead of ${bad.text}, which ipset reads differently` };
  return { entries: inChain, set: { name: setName(ruleset), elements: setElements(entries) }, ...refusal };
}

/** The layout of a ruleset for iptables: rules of a chain, and elements of a set for a long list. */
import { formatCidr, isPassedOn } from "../core/cidr.ts";
import { decompose, longestPrefixIntervals } from "../core/intervals.ts";
import type { Entry, Ruleset } from "../core/ruleset.ts";
import { setElements, setName } from "./ipset.ts";

/** The entries in the chain, rule by rule, and those in a set that one of its rules looks up. */
export interface Layout {
  readonly entries: readonly Entry[];
  readonly set?: { readonly name: string; readonly elements: readonly string[] };
  readonly refusal?: string;
}

/** The number of entries that a user has written, without link-local. */
export function configuredEntries({ entries }: Ruleset): number {
  return entries.filter(({ reason }) => reason !== "link-local").length;
}

/**
 * With port ranges, the port rules at the end masquerade an exception like everything else; so it only has to be
 * left out of the destinations that return. The chain then has the rest after subtraction, in address order.
 */
export function chainLayout({ family, entries, masquerade }: Ruleset): Layout {
  if (masquerade.toPorts.length === 0 || entries.every(({ verdict }) => verdict === "return"))
    return { entries };
  const choices = entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" }));
  const cidrs = longestPrefixIntervals(choices).flatMap((interval) => decompose(family, interval));
  return { entries: cidrs.map((cidr) => ({ cidr, verdict: "return", reason: "configured" })) };
}

/**
 * Link-local stays a rule of its own, as in the Go program, unless there are exceptions, which may lie within it. The
 * set has it as well: the set changes before the chain does, and in between no entry may be missing from both.
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

/** The nat table as `iptables -t nat -S` lists it, for reading; what a rule means is asked elsewhere. */
import type { NatRule } from "../core/doctor-facts.ts";
import { tokenize } from "./iptables-rule.ts";

/** Chains and their rules, in the listing's order. Lines that are neither are of no interest. */
export function parseNatListing(listing: string): ReadonlyMap<string, readonly NatRule[]> {
  const chains = new Map<string, NatRule[]>();
  const rulesOf = (chain: string) => {
    const rules = chains.get(chain) ?? [];
    chains.set(chain, rules);
    return rules;
  };
  for (const text of listing.split("\n")) {
    const [verb, chain = "", ...words] = tokenize(text);
    if (verb === "-P" || verb === "-N") rulesOf(chain);
    if (verb === "-A") rulesOf(chain).push(parseRule(chain, text, words));
  }
  return chains;
}

function parseRule(chain: string, text: string, words: readonly string[]): NatRule {
  const at = words.findIndex((word) => word === "-j" || word === "-g");
  const before = at < 0 ? words : words.slice(0, at);
  const comments: string[] = [];
  const conditions: string[] = [];
  for (let i = 0; i < before.length; i++) {
    const [word = "", next = ""] = before.slice(i, i + 2);
    if (word === "--comment") comments.push(next);
    else if (word !== "-m" || next !== "comment") {
      conditions.push(word);
      continue;
    }
    i++;
  }
  return { chain, text, comment: comments[0], conditions, target: at < 0 ? undefined : words[at + 1] };
}

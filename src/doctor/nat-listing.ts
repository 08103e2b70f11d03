/** A table as `iptables -S` lists it, for reading. */
import type { Family } from "../core/cidr.ts";
import { tokenize } from "../iptables/rule.ts";
import { readRule, type Sets } from "../trace/iptables-rule.ts";
import type { NatRule } from "./facts.ts";
import { scopeOf } from "./model-scope.ts";
import { sourcesGiven } from "./nft-rules.ts";

/** Chains and their rules, in the listing's order; `sets` holds those ipsets that are known. Other lines are of no interest. */
export function parseNatListing(
  listing: string,
  family: Family,
  sets: Sets = new Map(),
): ReadonlyMap<string, readonly NatRule[]> {
  const chains = new Map<string, NatRule[]>();
  const rulesOf = (chain: string) => {
    const rules = chains.get(chain) ?? [];
    chains.set(chain, rules);
    return rules;
  };
  for (const text of listing.split("\n")) {
    const [verb, chain = "", ...words] = tokenize(text);
    if (verb === "-P" || verb === "-N") rulesOf(chain);
    if (verb === "-A") {
      const { conditions, action } = readRule(words, family, sets, () => false);
      const scope = scopeOf(conditions, family);
      rulesOf(chain).push({ ...parseRule(chain, text, words), to: sourcesGiven(action), scope });
    }
  }
  return chains;
}

function parseRule(chain: string, text: string, words: readonly string[]): Omit<NatRule, "scope"> {
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

/** What a base chain does with what its rules let through. */
export function policyOf(listing: string, chain: string): "accept" | "drop" {
  return listing.split("\n").includes(`-P ${chain} DROP`) ? "drop" : "accept";
}

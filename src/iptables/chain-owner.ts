/** Whether an iptables chain of the agent's name is the agent's: a wrong --masq-chain must not cost anybody their rules. */
import { counted } from "../text/plural.ts";

/** How the comments of all rules begin that an agent, or the Go program, has written. */
const COMMENT = "ip-masq-agent: ";

/** The kernel's own chains of the nat table, which belong to nobody. */
const BUILT_IN: readonly string[] = ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"];

export function isBuiltIn(chain: string): boolean {
  return BUILT_IN.includes(chain);
}

/** Whether a chain with these rules' comments is others': an empty one may be anybody's. */
export function isForeign(comments: readonly (string | undefined)[]): boolean {
  return comments.length > 0 && comments.every((comment) => comment?.startsWith(COMMENT) !== true);
}

/** Why a chain is not the agent's, and what to do; `tool` is the command that shows it. */
export function renderForeign(chain: string, rules: number, tool: string): string {
  const instead = "give --masq-chain a name of the agent's own";
  if (isBuiltIn(chain)) return `chain ${chain} is one of the kernel's own: ${instead}`;
  return `chain ${chain} is not the agent's: it has ${rulesOfOthers(rules)}, and no jump of an agent leads to it. It is not touched: ${instead}, or empty it if nobody needs it (${tool} -t nat -F ${chain})`;
}

/** What a chain has that is not an agent's, for people. */
export function rulesOfOthers(rules: number): string {
  return `${counted(rules, "rule")}, ${rules === 1 ? "without" : "none with"} the comment of an agent`;
}

/** Whether an iptables chain of the agent's name is the agent's: a wrong --masq-chain must not destroy foreign rules. */
import { counted } from "../text/plural.ts";

/**
 * The starts of comments of an agent's rules, which are the Go program's as well; and of those in the chain `IP-MASQ`, which start scripts
 * of GKE, kube-up and kops make for an agent to take over (kubernetes/kubernetes#77458, kops' nodeup).
 */
const COMMENTS: readonly string[] = ["ip-masq-agent: ", "ip-masq: "];

/** The kernel's own chains of the nat table, which belong to no program. */
const BUILT_IN: readonly string[] = ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"];

export function isBuiltIn(chain: string): boolean {
  return BUILT_IN.includes(chain);
}

/** Whether a chain has only foreign rules, by their comments; an empty chain may be ours. */
export function isForeign(comments: readonly (string | undefined)[]): boolean {
  const isAgents = (comment?: string) => COMMENTS.some((start) => comment?.startsWith(start));
  return comments.length > 0 && !comments.some(isAgents);
}

/** Why a chain is not the agent's, and what to do; `tool` is the command that shows it. */
export function renderForeign(chain: string, rules: number, tool: string): string {
  const instead = "give --masq-chain a name of the agent's own";
  if (isBuiltIn(chain)) return `chain ${chain} is one of the kernel's own: ${instead}`;
  return `chain ${chain} is not the agent's: it has ${rulesOfOthers(rules)}, and no jump of an agent leads to it. The agent does not touch it: ${instead}, or empty it if it is not needed (${tool} -t nat -F ${chain})`;
}

/** The foreign rules of a chain, for people. */
export function rulesOfOthers(rules: number): string {
  return `${counted(rules, "rule")}, ${rules === 1 ? "without" : "none with"} the comment of an agent`;
}

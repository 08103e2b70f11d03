import { holdToken } from "../../../presence/names.ts";
import { known } from "../../../system/fact.ts";
import type { Check, HolderFacts } from "../../facts.ts";
import { type FindingText, info, warning } from "../../finding.ts";

export const agentSocket: Check = {
  name: "agent-socket",
  severity: "warning",
  looksFor:
    "the socket that a running agent holds, if another process holds it or another agent waits for it; info if the holder is not visible",
  remedy: "stop what holds the socket, or one of the two agents",
  run({ settings, holders }) {
    const token = holdToken(settings.chain);
    return (known(holders) ?? []).filter((one) => one.token === token).flatMap(describe);
  },
};

function describe({ kind, token, who, isAgent, isTrusted }: HolderFacts): readonly FindingText[] {
  if (!isTrusted)
    return [
      info(
        `${who} holds a socket by which agents of chain ${token} know of each other, and cannot be an agent: agents ignore it`,
        "stop it",
      ),
    ];
  if (kind === "awaited")
    return [
      warning(
        `two agents of chain ${token} run: ${who} waits for the other to end`,
        "stop one of them, unless it is about to end",
      ),
    ];
  if (isAgent === undefined)
    return [info(`an agent of chain ${token} seems to run: ${who} holds its socket`)];
  if (isAgent) return [];
  const what = `${who} holds the socket by which an agent of chain ${token} is known, and is not an agent`;
  return [
    warning(
      `${what}: the agent removes nothing that another backend has left`,
      `stop it; until then, "ip-masq-agent cleanup" in a pod needs --force`,
    ),
  ];
}

/** Checks of `doctor`: agents that know of each other, and what `auto` has chosen. */

import { holdToken } from "../presence/names.ts";
import { known } from "../system/fact.ts";
import type { Facts, HolderFacts } from "./facts.ts";
import { type FindingText, info, warning } from "./finding.ts";

/** The agent's socket is held by something else, or by an agent that is not seen; or another agent waits for it. */
export function agentSocket({ settings, holders }: Facts): readonly FindingText[] {
  const token = holdToken(settings.chain);
  return (known(holders) ?? []).filter((one) => one.token === token).flatMap(describe);
}

function describe({ kind, token, who, isAgent }: HolderFacts): readonly FindingText[] {
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
      `${what}: nothing is cleared away that another backend has left`,
      `stop it; until then, "ip-masq-agent cleanup" in a pod needs --force`,
    ),
  ];
}

/** The rules are where `auto` would not put them any more. */
export function autoBackend({ settings, auto }: Facts): readonly FindingText[] {
  const wanted = known(auto);
  if (wanted === undefined || wanted.backend === settings.backend) return [];
  const { backend, why } = wanted;
  return [
    warning(
      `--backend=auto comes to ${backend} now, since ${why}, and the rules are those of ${settings.backend}`,
      "the agent moves within seconds, or at its resync interval with --watch=false; if it does not, see its log, and restart it",
    ),
  ];
}

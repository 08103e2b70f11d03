import type { Check } from "../../facts.ts";
import { info } from "../../finding.ts";

export const neverAsked: Check = {
  name: "never-asked",
  severity: "info",
  looksFor:
    "entries of the list that no new connection has asked for, for 7 days or longer; only what iptables-nft counts in rules, from the first request for /metrics or /status on; a running agent tells",
  remedy: "take what nothing will ask for out of the list",
  run: ({ neverAsked }) =>
    neverAsked.map(({ cidr, since }) =>
      info(
        `${cidr} was never asked for since ${since.replace(/:\d\d(\.\d+)?Z$/, "Z")}`,
        "only new connections count: if none is to come, the list does not need it",
      ),
    ),
};

/** The backend iptables for `doctor`. */

import { sumPackets } from "../../backend/verdict-counters.ts";
import { countChain } from "../../iptables/counters.ts";
import { blockedJump } from "../checks/ours/blocked-jump.ts";
import { lock } from "../checks/ours/lock.ts";
import { ownChain } from "../checks/ours/own-chain.ts";
import type { OwnSide } from "../facts.ts";
import { natTables } from "../nat-tables.ts";

export const iptablesSide: OwnSide = {
  name: "iptables",
  label: ({ variant }) => (variant === undefined ? "iptables" : `iptables (${variant})`),
  isInNatTable: true,
  priority: 100,
  tables: ({ settings, nat }) =>
    natTables({ nat }).filter(
      ({ family, variant }) => variant === settings.variant && settings.families.includes(family),
    ),
  checks: [ownChain, blockedJump, lock],
  async count(nftables, { chain, families, signal }) {
    const counts = await Promise.all(families.map((family) => countChain(nftables, family, chain, signal)));
    return sumPackets(counts.flatMap(({ verdicts }) => verdicts));
  },
  // Doctor looks at chains of all tables in any case.
  left: () => [],
};

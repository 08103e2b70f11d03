/** The backend iptables for `doctor`. */

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
  // Doctor looks at chains of all tables in any case.
  left: () => [],
};

/** The iptables backend's part in commands. */

import { readOwnChains } from "../diff/live.ts";
import { changeContents, iptablesContents } from "../diff/rule-changes.ts";
import { iptablesSide } from "../doctor/own/iptables.ts";
import { findChains } from "../iptables/cleanup.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import type { Capabilities } from "../iptables/planner.ts";
import type { BackendCommands } from "./backend.ts";

/** The abilities of current tools (1.6.2, of 2018, or later). */
const CAPABILITIES: Capabilities = {
  version: "1.8",
  variant: "nf_tables",
  check: true,
  wait: ["-w", "5"],
  restoreWait: ["-w", "5"],
  randomFully: true,
  ipset: true,
};

const NOTHING = { rules: undefined, jump: false };

export const iptablesCommands: BackendCommands = {
  render(rulesets, { "iptables-mode": mode, "ipset-threshold": threshold }) {
    const planner = iptablesPlanner(mode === "auto" ? "nft" : mode, threshold);
    const parts = rulesets.map((ruleset) => ({
      label: ruleset.family,
      ...planner.plan(ruleset, CAPABILITIES, NOTHING),
    }));
    return { parts, assumed: mode === "auto" ? ["--iptables-mode=auto means nft here"] : [] };
  },
  compare: (before, after, { "ipset-threshold": threshold }) =>
    changeContents(iptablesContents(before, threshold), iptablesContents(after, threshold)),
  current: (rulesets, { variant, "ipset-threshold": ipsetThreshold }, { run }) =>
    readOwnChains(rulesets, { variant, ipsetThreshold }, run),
  findOurs: findChains,
  doctor: iptablesSide,
};

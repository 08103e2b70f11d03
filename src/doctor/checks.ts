/** The checks of `doctor`: one table, each a pure function from what is known of the node to what is to be said. */
import { agentSocket, autoBackend } from "./check-agents.ts";
import { cniMasquerade, notSeen } from "./check-cni.ts";
import { config } from "./check-config.ts";
import { foreignChains, foreignNat, incompatibleTable, oldChain, openshift } from "./check-foreign.ts";
import { invalid } from "./check-invalid.ts";
import { kubeletFlags, kubeletRules } from "./check-kubelet.ts";
import {
  capabilities,
  conntrackCounters,
  conntrackTable,
  forwarding,
  inotify,
  ports,
  unknowns,
  versions,
} from "./check-node.ts";
import { agents, bothVariants, leftovers } from "./check-own.ts";
import { podNetworks } from "./check-pods.ts";
import type { Check, Facts } from "./facts.ts";
import { type Finding, SEVERITIES, type Severity } from "./finding.ts";

/** A check that the backend has, or has not. */
const ofBackend =
  (name: string): Check =>
  (facts) =>
    facts.own.checks[name]?.(facts) ?? [];

/** By their names, in the order in which findings of the same severity are shown. */
export const CHECKS: Readonly<Record<string, Check>> = {
  capabilities,
  "could-not-check": unknowns,
  config,
  "own-chain": ofBackend("own-chain"),
  "own-table": ofBackend("own-table"),
  "incompatible-table": incompatibleTable,
  "blocked-jump": ofBackend("blocked-jump"),
  "pod-networks": podNetworks,
  "kubelet-rule": kubeletRules,
  "kubelet-flag": kubeletFlags,
  openshift,
  "old-chain": oldChain,
  "foreign-nat": foreignNat,
  "foreign-chain": foreignChains,
  "cni-masquerade": cniMasquerade,
  leftovers,
  "both-variants": bothVariants,
  agents,
  "agent-socket": agentSocket,
  "auto-backend": autoBackend,
  forwarding,
  invalid,
  ports,
  "conntrack-table": conntrackTable,
  "conntrack-counters": conntrackCounters,
  lock: ofBackend("lock"),
  inotify,
  buffers: ofBackend("buffers"),
  versions,
  "not-seen": notSeen,
};

/** Everything that is to be said of a node, the gravest first. */
export function diagnose(facts: Facts): readonly Finding[] {
  const all = Object.entries(CHECKS).flatMap(([check, look]) =>
    look(facts).map((said): Finding => ({ check, ...said })),
  );
  return SEVERITIES.flatMap((severity) => all.filter((finding) => finding.severity === severity));
}

export function countOf(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

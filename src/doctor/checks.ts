/** The checks of `doctor`: one table of values, one file each. */
import { agentSocket } from "./checks/agent/agent-socket.ts";
import { agents } from "./checks/agent/agents.ts";
import { autoBackend } from "./checks/agent/auto-backend.ts";
import { capabilities } from "./checks/agent/capabilities.ts";
import { config } from "./checks/agent/config.ts";
import { couldNotCheck } from "./checks/agent/could-not-check.ts";
import { inotify } from "./checks/agent/inotify.ts";
import { memoryLimit } from "./checks/agent/memory-limit.ts";
import { neverAsked } from "./checks/agent/never-asked.ts";
import { notSeen } from "./checks/agent/not-seen.ts";
import { versions } from "./checks/agent/versions.ts";
import { conntrackCounters } from "./checks/node/conntrack-counters.ts";
import { conntrackTable } from "./checks/node/conntrack-table.ts";
import { forward } from "./checks/node/forward.ts";
import { forwarding } from "./checks/node/forwarding.ts";
import { invalid } from "./checks/node/invalid.ts";
import { outputAddresses } from "./checks/node/output-addresses.ts";
import { outputInterfaces } from "./checks/node/output-interfaces.ts";
import { podNetworks } from "./checks/node/pod-networks.ts";
import { portShare } from "./checks/node/port-share.ts";
import { ports } from "./checks/node/ports.ts";
import { sources } from "./checks/node/sources.ts";
import { unseen } from "./checks/node/unseen.ts";
import { cniMasquerade } from "./checks/others/cni-masquerade.ts";
import { foreignChain } from "./checks/others/foreign-chain.ts";
import { foreignNat } from "./checks/others/foreign-nat.ts";
import { kubeletFlag } from "./checks/others/kubelet-flag.ts";
import { kubeletRule } from "./checks/others/kubelet-rule.ts";
import { oldChain } from "./checks/others/old-chain.ts";
import { openshift } from "./checks/others/openshift.ts";
import { serviceMasquerade } from "./checks/others/service-masquerade.ts";
import { untracked } from "./checks/others/untracked.ts";
import { blockedJump } from "./checks/ours/blocked-jump.ts";
import { bothVariants } from "./checks/ours/both-variants.ts";
import { buffers } from "./checks/ours/buffers.ts";
import { incompatibleTable } from "./checks/ours/incompatible-table.ts";
import { leftovers } from "./checks/ours/leftovers.ts";
import { lock } from "./checks/ours/lock.ts";
import { ownChain } from "./checks/ours/own-chain.ts";
import { ownTable } from "./checks/ours/own-table.ts";
import type { Check, Facts } from "./facts.ts";
import { type Finding, SEVERITIES, type Severity } from "./finding.ts";

/** In the order in which findings of the same severity are shown. */
export const CHECKS: readonly Check[] = [
  capabilities,
  couldNotCheck,
  config,
  ownChain,
  ownTable,
  incompatibleTable,
  blockedJump,
  podNetworks,
  sources,
  outputInterfaces,
  outputAddresses,
  kubeletRule,
  kubeletFlag,
  openshift,
  oldChain,
  foreignNat,
  foreignChain,
  serviceMasquerade,
  untracked,
  cniMasquerade,
  leftovers,
  bothVariants,
  agents,
  agentSocket,
  autoBackend,
  forwarding,
  forward,
  unseen,
  neverAsked,
  invalid,
  ports,
  portShare,
  conntrackTable,
  conntrackCounters,
  memoryLimit,
  lock,
  inotify,
  buffers,
  versions,
  notSeen,
];

/** The findings about a node, the gravest first. Checks of a backend that the node does not use have nothing to look at. */
export function diagnose(facts: Facts, ignored: readonly string[] = []): readonly Finding[] {
  const ofOthers = facts.others.flatMap(({ checks }) => checks);
  const all = CHECKS.filter((check) => !ofOthers.includes(check) && !ignored.includes(check.name)).flatMap(
    ({ name, run }) => run(facts).map((said): Finding => ({ check: name, ...said })),
  );
  return SEVERITIES.flatMap((severity) => all.filter((finding) => finding.severity === severity));
}

/** Whether there is a finding of this severity, or a graver one. */
export function hasAtLeast(findings: readonly Finding[], severity: Severity): boolean {
  const counted = SEVERITIES.slice(0, SEVERITIES.indexOf(severity) + 1);
  return findings.some((finding) => counted.includes(finding.severity));
}

export function countOf(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

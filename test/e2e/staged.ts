/** A text that rolls out with the DaemonSet: what agents refuse halts at `maxUnavailable`, and `rollout undo` brings the text before back. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { eventually } from "../lab/network/lab.ts";
import type { Cluster } from "./cluster.ts";
import { type Guide, kubectlLines } from "./guide.ts";
import { agentPods, mapOf, type Pod } from "./observe.ts";

const SYSTEM = "--namespace=kube-system";
/** The roll-out does not go on for so long; the kubelet's probe comes every 5 s. */
const HALTED = "--timeout=20s";

/** Rolls out a good text and one that is refused, and goes back, as docs/configure.md says. */
export async function stageTexts(cluster: Cluster, guide: Guide, good: string, bad: string): Promise<void> {
  const [apply = "", status = "", events = "", logs = "", undo = ""] = kubectlLines(
    "docs/configure.md",
    "At once, or in stages",
  );
  const write = (text: string) =>
    writeFileSync(join(guide.directory, "deploy/kustomize/overlays/staged/config"), text);
  write(good);
  await guide.type(apply);
  await guide.type(status);
  const before = await agentPods(cluster);
  const [name = ""] = before.map(mapOf);
  expect(before.map(mapOf)).toEqual(before.map(() => name));

  write(bad);
  await guide.type(apply);
  const halted = cluster.kubectl("rollout", "status", SYSTEM, "daemonset/ip-masq-agent", HALTED);
  await expect(halted).rejects.toThrow(/timed out|exceeded/);
  await eventually(async () => {
    const pods = await agentPods(cluster);
    const changed = pods.filter((pod) => mapOf(pod) !== name);
    expect(pods).toHaveLength(before.length);
    // A tenth of the nodes, rounded up.
    expect(changed).toHaveLength(Math.ceil(before.length / 10));
    expect(changed.map(isReady)).toEqual(changed.map(() => false));
    expect(pods.filter((pod) => !changed.includes(pod)).every(isReady)).toBe(true);
    // The agent runs, and says why: nothing is gained by a restart.
    expect(changed.map(({ status }) => status.containerStatuses?.[0]?.restartCount)).toEqual(
      changed.map(() => 0),
    );
  }, 60_000);
  expect(await guide.type(events)).toMatch(/Readiness probe failed: .*503/);
  expect(await guide.type(logs)).toMatch(/nonMasqueradeCIDRs\[0\]: .*10\.1\.0\.0\/8/);

  await guide.type(undo);
  await guide.type(status);
  const after = await agentPods(cluster);
  expect(after.map(mapOf)).toEqual(before.map(() => name));
  expect(after.every(isReady)).toBe(true);
}

/** Deletes the texts of all stages, when nothing uses them any more. */
export function forgetTexts(cluster: Cluster): Promise<string> {
  return cluster.kubectl(
    "delete",
    SYSTEM,
    "configmaps",
    "--selector=k8s-app=ip-masq-agent",
    "--ignore-not-found",
  );
}

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** The chart on a cluster. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { CHART } from "../chart/chart.ts";
import type { Cluster } from "./cluster.ts";
import { agentPods, mapOf } from "./observe.ts";

type Helm = NonNullable<Cluster["helm"]>;

/**
 * The chart as it is released, but for the line `kubeVersion`: the cluster of the test may be older than what the chart takes. Its rendering for
 * those versions is tested in test/chart. The caller removes it.
 */
export function copyForAnyCluster(): string {
  const copy = join(mkdtempSync(join(tmpdir(), "ip-masq-agent-chart-")), "ip-masq-agent");
  cpSync(CHART, copy, { recursive: true });
  changeChart(copy, /^kubeVersion: .*\n/m, "");
  return copy;
}

/** Changes a copy's Chart.yaml; throws if there is nothing to change. */
export function changeChart(copy: string, from: RegExp, to: string): void {
  const path = join(copy, "Chart.yaml");
  const text = readFileSync(path, "utf8");
  if (!from.test(text)) throw new Error(`Chart.yaml has no ${from}`);
  writeFileSync(path, text.replace(from, to));
}

/** The values that name an image. */
export function imageValues(image: string): readonly string[] {
  const [repository = "", tag = ""] = image.split(/:(?=[^:/]*$)/);
  return [`--set=image.repository=${repository}`, `--set=image.tag=${tag}`];
}

const PLACE = "--namespace=kube-system";
const WAIT = ["--wait", "--timeout=3m"];

async function withCopy<T>(use: (copy: string) => Promise<T>): Promise<T> {
  const copy = copyForAnyCluster();
  try {
    return await use(copy);
  } finally {
    rmSync(join(copy, ".."), { recursive: true });
  }
}

/** `helm install` with an image, following the API server, until the agents are ready; returns what it printed. */
export function installChart(helm: Helm, image: string): Promise<string> {
  const values = [...imageValues(image), "--set=config.watch=true"];
  return withCopy((copy) => helm("install", "ip-masq-agent", copy, PLACE, ...WAIT, ...values));
}

/** Stages a good text by upgrades of the chart's release, and one that agents refuse, and rolls that back. */
export function stageByChart(helm: Helm, cluster: Cluster, good: readonly string[]): Promise<void> {
  const mapsInUse = async () => (await agentPods(cluster)).map(mapOf);
  return withCopy(async (copy) => {
    const upgrade = (nonMasqueradeCIDRs: readonly string[], ...more: readonly string[]) => {
      const values = ["--reuse-values", "--set=config.watch=false", "--set=config.rollout=staged"];
      const text = `--set-json=config.inline=${JSON.stringify({ nonMasqueradeCIDRs })}`;
      return helm("upgrade", "ip-masq-agent", copy, PLACE, ...values, text, ...more);
    };
    await upgrade(good, ...WAIT);
    const before = await mapsInUse();
    expect(new Set(before).size).toBe(1);
    // With the chart's own validation it would not come so far.
    const bad = upgrade(["10.1.0.0/8"], "--set=config.validate=none", "--wait", "--timeout=20s");
    await expect(bad).rejects.toThrow();
    const halted = await mapsInUse();
    expect(halted.filter((name) => name !== before[0])).toHaveLength(Math.ceil(halted.length / 10));
    await helm("rollback", "ip-masq-agent", PLACE, ...WAIT);
    expect(await mapsInUse()).toEqual(before);
  });
}

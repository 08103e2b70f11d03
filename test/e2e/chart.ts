/** The chart on a cluster. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHART } from "../chart/chart.ts";
import type { Cluster } from "./cluster.ts";

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

/** `helm install` with an image, until the agents are ready; returns what it printed. */
export async function installChart(helm: Helm, image: string): Promise<string> {
  const copy = copyForAnyCluster();
  try {
    const place = ["--namespace=kube-system", "--wait", "--timeout=3m"];
    return await helm("install", "ip-masq-agent", copy, ...place, ...imageValues(image));
  } finally {
    rmSync(join(copy, ".."), { recursive: true });
  }
}

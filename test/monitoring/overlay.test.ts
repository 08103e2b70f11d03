/** The overlay for kustomize: what it makes of the DaemonSet, by itself and with the real tool. */
import { describe, expect, test } from "vitest";
import { attempt } from "../lab/command.ts";
import { at, parseManifest, readManifest } from "../lab/manifest.ts";
import { kustomizeTool } from "../lab/tool.ts";
import { deployed } from "./deploy.ts";

const KUSTOMIZE = kustomizeTool();
if (KUSTOMIZE === undefined)
  console.warn("NOT TESTED: what kustomize makes of deploy/monitoring, since it is missing (or kubectl)");

const PROBES = ["startupProbe", "livenessProbe", "readinessProbe"];
const CONTAINER = "spec.template.spec.containers.0";
const base = readManifest("ip-masq-agent.yaml");
const patch = readManifest(deployed("serve-on-node-address.yaml"));
const monitor = readManifest(deployed("pod-monitor.yaml"));

test("every file that the overlay names is there", () => {
  const overlay = readManifest(deployed("kustomization.yaml"));
  const patches = at(overlay, "patches") as { path: string }[];
  const [base, ...resources] = at(overlay, "resources") as string[];
  expect(readManifest(deployed(`${base}/kustomization.yaml`))).toHaveProperty("kind");
  const named = [...resources, ...patches.map(({ path }) => path)];
  for (const name of named) expect(readManifest(deployed(name))).toHaveProperty("kind");
});

test("the agent serves where Prometheus gets at it, and says at which port", () => {
  for (const path of ["kind", "metadata.name", "metadata.namespace", `${CONTAINER}.name`])
    expect(at(patch, path)).toEqual(at(base, path));
  expect(at(patch, CONTAINER)).toMatchObject({
    args: ["--http-address=$(HOST_IP):10279"],
    env: [{ name: "HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } }],
    ports: [{ name: at(monitor, "spec.podMetricsEndpoints.0.port"), containerPort: 10279 }],
  });
});

test("no probe is left that asks the loopback, where nothing listens then", () => {
  for (const probe of PROBES) {
    expect(at(base, `${CONTAINER}.${probe}.httpGet.host`)).toBe("127.0.0.1");
    expect(at(patch, `${CONTAINER}.${probe}.httpGet.host`)).toBeNull();
  }
});

test("the PodMonitor selects the agents' pods, and its series have the labels that alerts ask for", () => {
  const labels = at(base, "spec.template.metadata.labels");
  expect(at(monitor, "spec")).toMatchObject({ jobLabel: "k8s-app", selector: { matchLabels: labels } });
  expect(at(monitor, "metadata.namespace")).toEqual(at(base, "metadata.namespace"));
  const relabelings = [{ sourceLabels: ["__meta_kubernetes_pod_node_name"], targetLabel: "node" }];
  expect(at(monitor, "spec.podMetricsEndpoints.0.relabelings")).toEqual(relabelings);
});

describe.skipIf(KUSTOMIZE === undefined)("kustomize", () => {
  test("builds it", async () => {
    const [tool = "", ...args] = KUSTOMIZE ?? [];
    const { code, stdout, stderr } = await attempt(tool, [...args, deployed("")]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const documents = stdout.split(/^---$/m).map((text) => parseManifest(Buffer.from(text), "built"));
    expect(documents.map((document) => at(document, "kind"))).toEqual([
      "DaemonSet",
      "PodMonitor",
      "PrometheusRule",
    ]);
    const [built = null] = documents;
    const container = at(built, CONTAINER);
    expect(container).toMatchObject({ args: ["--http-address=$(HOST_IP):10279"] });
    for (const probe of PROBES) {
      const { host: _, ...asked } = at(base, `${CONTAINER}.${probe}.httpGet`) as Record<string, unknown>;
      expect(at(container, `${probe}.httpGet`)).toEqual(asked);
    }
    // All else is as it was.
    for (const path of ["securityContext", "resources", "volumeMounts", "image"])
      expect(at(container, path)).toEqual(at(base, `${CONTAINER}.${path}`));
  });
});

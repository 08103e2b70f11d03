/** What an operator is given besides the program, compared with the program: manifest, example, documents. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { agentFlags } from "../src/cli/options.ts";
import { decodeConfig } from "../src/core/config.ts";
import { renderProblem } from "../src/core/problem.ts";
import { validateObject } from "./chart/kubernetes.ts";
import { at, type Plain, readManifest } from "./lab/manifest.ts";

const CONFIG_OPTIONS = { noMasqAllReservedRanges: false, enableIPv6: false };

const manifest = readManifest("ip-masq-agent.yaml");
const spec = at(manifest, "spec");
const pod = at(spec, "template.spec");
const container = at(pod, "containers.0");

test("it is a DaemonSet in kube-system that selects its own pods", () => {
  expect(manifest).toMatchObject({
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "ip-masq-agent", namespace: "kube-system" },
  });
  const labels = { "k8s-app": "ip-masq-agent" };
  expect(at(spec, "selector.matchLabels")).toEqual(labels);
  expect(at(spec, "template.metadata.labels")).toEqual(labels);
});

test("it is on every Linux node, in the node's network, before ordinary pods", () => {
  expect(pod).toMatchObject({
    hostNetwork: true,
    dnsPolicy: "Default",
    priorityClassName: "system-node-critical",
    nodeSelector: { "kubernetes.io/os": "linux" },
    automountServiceAccountToken: false,
    // Left out, an account of an overlay or of the chart's values would stay when it is switched off.
    serviceAccountName: "default",
  });
  expect(at(pod, "tolerations")).toEqual([
    { operator: "Exists", effect: "NoSchedule" },
    { operator: "Exists", effect: "NoExecute" },
    { operator: "Exists" },
  ]);
});

test("it has the two capabilities that it needs, and nothing else", () => {
  expect(at(container, "securityContext")).toEqual({
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
  });
  expect(at(pod, "securityContext.seccompProfile")).toEqual({ type: "RuntimeDefault" });
  expect(at(pod, "containers")).toHaveLength(1);
  for (const key of ["hostPID", "hostIPC", "initContainers"]) expect(pod).not.toHaveProperty(key);
});

test("a read-only root file system goes with the logging defaults", () => {
  expect(agentFlags.logtostderr.initial).toBe(true);
  expect(container).not.toHaveProperty("args");
});

test("the kubelet asks where the agent serves, and is patient with one that is slow", () => {
  const [host, port] = agentFlags["http-address"].initial.split(":");
  const probes = { startupProbe: "/livez", livenessProbe: "/livez", readinessProbe: "/readyz" };
  for (const [name, path] of Object.entries(probes))
    expect(at(container, `${name}.httpGet`), name).toEqual({ host, port: Number(port), path });

  // A tool has a deadline of 30 s; a kill in the middle of it would not help.
  const number = (path: string) => Number(at(container, path));
  for (const name of ["startupProbe", "livenessProbe"])
    expect(number(`${name}.periodSeconds`) * number(`${name}.failureThreshold`)).toBeGreaterThanOrEqual(60);
  // A roll-out over thousands of nodes waits for this one.
  expect(number("readinessProbe.periodSeconds")).toBeLessThanOrEqual(5);
});

test("the ConfigMap's key appears where the agent looks for it, and may be missing", () => {
  expect(at(pod, "volumes")).toContainEqual({
    name: "config",
    configMap: {
      name: "ip-masq-agent",
      optional: true,
      items: [{ key: "config", path: "ip-masq-agent" }],
    },
  });
  expect(at(container, "volumeMounts")).toContainEqual({
    name: "config",
    mountPath: "/etc/config",
    readOnly: true,
  });
  expect(agentFlags.config.initial).toBe("/etc/config/ip-masq-agent");
  // `--from-file=agent-config` makes a key of each file.
  expect(readdirSync("agent-config")).toEqual(["config"]);
});

test("the xtables lock is the host's", () => {
  expect(at(pod, "volumes")).toContainEqual({
    name: "xtables-lock",
    hostPath: { path: "/run/xtables.lock", type: "FileOrCreate" },
  });
  expect(at(container, "volumeMounts")).toContainEqual({
    name: "xtables-lock",
    mountPath: "/run/xtables.lock",
  });
});

test("it asks for little, has a memory limit and no CPU limit, and is replaced bit by bit", () => {
  expect(at(container, "resources")).toEqual({
    requests: { cpu: "10m", memory: "64Mi" },
    limits: { memory: "384Mi" },
  });
  expect(at(spec, "updateStrategy")).toEqual({
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: "10%" },
  });
  expect(at(pod, "terminationGracePeriodSeconds")).toBeLessThanOrEqual(10);
});

test("the image is a placeholder of this version", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect(at(container, "image")).toBe(`ip-masq-agent:v${version}`);
});

test("the clean-up is a DaemonSet of its own, where the agents were, with their image and their rights", () => {
  const cleanup = readManifest("deploy/cleanup.yaml");
  validateObject(cleanup);
  const theirs = at(cleanup, "spec.template.spec");
  const keys = [
    "hostNetwork",
    "dnsPolicy",
    "priorityClassName",
    "tolerations",
    "nodeSelector",
    "securityContext",
  ];
  for (const key of keys) expect(at(theirs, key), key).toEqual(at(pod, key));
  expect(at(cleanup, "metadata")).toMatchObject({ namespace: at(manifest, "metadata.namespace") });
  expect(at(cleanup, "spec.selector.matchLabels")).toEqual(at(cleanup, "spec.template.metadata.labels"));
  expect(at(cleanup, "spec.selector.matchLabels")).not.toEqual(at(spec, "selector.matchLabels"));

  const first = at(theirs, "initContainers.0");
  expect(first).toMatchObject({ args: ["cleanup"], image: at(container, "image") });
  for (const key of ["securityContext", "resources"]) expect(at(first, key), key).toEqual(at(container, key));
  const [, lock] = at(container, "volumeMounts") as Plain[];
  expect(at(first, "volumeMounts")).toEqual([lock]);
  expect(at(pod, "volumes")).toEqual(expect.arrayContaining(at(theirs, "volumes") as Plain[]));
  // What only waits needs no right at all.
  expect(at(theirs, "containers.0.securityContext.capabilities")).toEqual({ drop: ["ALL"] });
  expect(at(theirs, "containers.0.image")).toBe(at(container, "image"));
});

test("the example configuration has no problem and no warning", () => {
  expect(decode(readFileSync("agent-config/config"))).toMatchObject({ problems: [], warnings: [] });
});

test("the commands of docs/install.md name what the manifest names", () => {
  const page = readFileSync("docs/install.md", "utf8");
  expect(page).toContain("kubectl create -f ip-masq-agent.yaml\n");
  expect(page).toContain(
    "kubectl create configmap ip-masq-agent --from-file=agent-config --namespace=kube-system\n",
  );
});

test("the tables of packages have every package with its version", () => {
  const text = readFileSync("docs/internals/dependencies.md", "utf8");
  const documented = [...text.matchAll(/^\| `([^`]+)` \| (\d[\w.-]*) \|/gm)].map(([, name, version]) => [
    name,
    version,
  ]);
  const { dependencies = {}, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const packages = Object.entries<string>({ ...dependencies, ...devDependencies });
  // Of a package under another name, as in npm:NAME@VERSION.
  const versions = packages.map(([name, version]) => [name, version.replace(/^npm:.*@/, "")]);
  expect(documented.toSorted()).toEqual(versions.toSorted());
});

function decode(text: string | Uint8Array): { problems: string[]; warnings: string[] } {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const decoded = decodeConfig({ kind: "file", files: [{ path: "f", bytes }] }, CONFIG_OPTIONS);
  return decoded.ok
    ? { problems: [], warnings: decoded.value.warnings.map(renderProblem) }
    : { problems: decoded.problems.map(renderProblem), warnings: [] };
}

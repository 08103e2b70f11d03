/** The values that users of other charts expect. */
import { beforeAll, describe, expect, test } from "vitest";
import { at, type Plain, readManifest } from "../lab/manifest.ts";
import { type Rendered, useChart } from "./chart.ts";
import { validateObject } from "./kubernetes.ts";
import { typeErrors } from "./strict.ts";

const { missing, render } = useChart();

const POD = "spec.template.spec";
const CONTAINER = `${POD}.containers.0`;

/** Values, and what the DaemonSet has at a path then. */
const TABLE: readonly (readonly [object, string, unknown])[] = [
  [{ fullnameOverride: "masq" }, "metadata.name", "masq"],
  [{ namespaceOverride: "network" }, "metadata.namespace", "network"],
  [{ daemonSetAnnotations: { note: "x" } }, "metadata.annotations", { note: "x" }],
  [{ updateStrategy: { type: "OnDelete" } }, "spec.updateStrategy", { type: "OnDelete" }],
  [
    { updateStrategy: { rollingUpdate: { maxUnavailable: 3 } } },
    "spec.updateStrategy",
    { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 3 } },
  ],
  [{ podAnnotations: { note: "x" } }, "spec.template.metadata.annotations", { note: "x" }],
  [{ terminationGracePeriodSeconds: 30 }, `${POD}.terminationGracePeriodSeconds`, 30],
  [
    { podSecurityContext: { runAsUser: 0 } },
    `${POD}.securityContext`,
    { runAsUser: 0, seccompProfile: { type: "RuntimeDefault" } },
  ],
  [{ serviceAccount: { name: "masq" } }, `${POD}.serviceAccountName`, "masq"],
  [{ serviceAccount: { create: true } }, `${POD}.serviceAccountName`, "ip-masq-agent"],
  [{ serviceAccount: { automount: true } }, `${POD}.automountServiceAccountToken`, true],
  [
    { config: { watch: true }, serviceAccount: { automount: false } },
    `${POD}.automountServiceAccountToken`,
    false,
  ],
  [
    { imagePullSecrets: [{ name: "a" }], global: { imagePullSecrets: ["b", { name: "a" }] } },
    `${POD}.imagePullSecrets`,
    [{ name: "a" }, { name: "b" }],
  ],
  [
    {
      image: { repository: "r.example:5000/network/masq", tag: "v1" },
      global: { imageRegistry: "mirror.example/x" },
    },
    `${CONTAINER}.image`,
    "mirror.example/x/network/masq:v1",
  ],
  [
    { image: { repository: "network/masq", tag: "v1" }, global: { imageRegistry: "mirror.example" } },
    `${CONTAINER}.image`,
    "mirror.example/network/masq:v1",
  ],
  [
    {
      flags: { logtostderr: false, log_file: "/dev/stdout", log_file_max_size: 0 },
      extraArgs: ["--masq-chain=IP-MASQ", "-v=2"],
    },
    `${CONTAINER}.args`,
    [
      "--log_file=/dev/stdout",
      "--log_file_max_size=0",
      "--logtostderr=false",
      "--masq-chain=IP-MASQ",
      "-v=2",
    ],
  ],
  [{ extraEnv: [{ name: "TZ", value: "UTC" }] }, `${CONTAINER}.env`, [{ name: "TZ", value: "UTC" }]],
  [
    { extraVolumes: [{ name: "logs", emptyDir: {} }], backend: "nftables" },
    `${POD}.volumes.1`,
    { name: "logs", emptyDir: {} },
  ],
  [
    { extraVolumeMounts: [{ name: "logs", mountPath: "/var/log/masq" }], backend: "nftables" },
    `${CONTAINER}.volumeMounts.1`,
    { name: "logs", mountPath: "/var/log/masq" },
  ],
  [
    { extraContainers: [{ name: "proxy", image: "p" }] },
    `${POD}.containers.1`,
    { name: "proxy", image: "p" },
  ],
  [
    { extraInitContainers: [{ name: "wait", image: "w" }] },
    `${POD}.initContainers`,
    [{ name: "wait", image: "w" }],
  ],
  [
    {
      securityContext: { readOnlyRootFilesystem: false, capabilities: { add: ["NET_ADMIN", "SYS_MODULE"] } },
    },
    `${CONTAINER}.securityContext`,
    {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: false,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "SYS_MODULE"] },
    },
  ],
  // The API server refuses a privileged container that must not escalate.
  [{ securityContext: { privileged: true } }, `${CONTAINER}.securityContext.allowPrivilegeEscalation`, true],
  [
    { readinessProbe: { periodSeconds: 1, initialDelaySeconds: 3 } },
    `${CONTAINER}.readinessProbe`,
    {
      httpGet: { host: "127.0.0.1", port: 10279, path: "/readyz" },
      initialDelaySeconds: 3,
      periodSeconds: 1,
      timeoutSeconds: 5,
    },
  ],
  [
    { livenessProbe: { exec: { command: ["ip-masq-agent", "status"] } } },
    `${CONTAINER}.livenessProbe`,
    {
      exec: { command: ["ip-masq-agent", "status"] },
      failureThreshold: 3,
      periodSeconds: 20,
      timeoutSeconds: 5,
    },
  ],
];

/** Values with which the chart makes all kinds of objects that it knows, with all their fields. */
const MONITORED = {
  httpAddress: "$(HOST_IP):10279",
  monitoring: {
    podMonitor: {
      enabled: true,
      namespace: "monitoring",
      scrapeTimeout: "5s",
      metricRelabelings: [{ action: "drop", regex: "go_.*", sourceLabels: ["__name__"] }],
      endpoint: { scheme: "https", tlsConfig: { insecureSkipVerify: true } },
    },
    prometheusRule: { enabled: true, additionalRules: [{ alert: "Sad", expr: "vector(1)" }] },
    dashboard: { enabled: true, annotations: { grafana_folder: "Network" } },
  },
};
const REACHABLE = { httpAddress: "$(HOST_IP):10279" };
const ALL = {
  podMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
};
const WHOLE: readonly object[] = [
  {
    ...MONITORED,
    report: "lease",
    config: { inline: { masqLinkLocal: true }, watch: true, admission: true },
  },
  {
    config: { inline: {}, rollout: "staged", admission: true, clusterCIDRs: ["10.244.0.0/16"] },
    image: { pullPolicy: "Always" },
    affinity: { nodeAffinity: {} },
    seccompProfile: "x.json",
    serviceAccount: { create: true, annotations: { note: "x" } },
  },
];

describe.skipIf(missing !== undefined)("a value that other charts have", () => {
  let made: readonly Rendered[] = [];
  beforeAll(async () => {
    made = await Promise.all([...TABLE.map(([values]) => values), ...WHOLE].map((values) => render(values)));
  });

  test("is where it is expected", () => {
    for (const [index, [values, path, expected]] of TABLE.entries()) {
      const built = made[index]?.documents["daemonset.yaml"] ?? null;
      expect(at(built, path), JSON.stringify(values)).toEqual(expected);
    }
  });

  test("makes no object that Kubernetes 1.25 to the newest would not take as it is", async () => {
    const all = made.flatMap(({ documents, hooks }) => [
      ...Object.values(documents),
      ...Object.values(hooks),
    ]);
    const kinds = new Set(all.map((document) => String(at(document, "kind"))));
    expect([...kinds].toSorted()).toEqual([
      "ConfigMap",
      "DaemonSet",
      "Job",
      "Pod",
      "PodMonitor",
      "PrometheusRule",
      "Role",
      "RoleBinding",
      "ServiceAccount",
      "ValidatingAdmissionPolicy",
      "ValidatingAdmissionPolicyBinding",
    ]);
    for (const document of all) validateObject(document);
    const others = ["deploy/cleanup.yaml", "ip-masq-agent.yaml"].map(readManifest);
    expect(await typeErrors([...all, ...others])).toBe("");
  });

  test("labels everything, but by no such label a pod is found", async () => {
    const values = {
      commonLabels: { team: "network", "k8s-app": "other" },
      podLabels: { cost: "12", team: "pods" },
      nameOverride: "masq",
      config: { inline: {}, watch: true },
      httpAddress: "$(HOST_IP):10279",
      monitoring: { podMonitor: { enabled: true }, dashboard: { enabled: true } },
    };
    const { documents, hooks } = await render(values, { name: "prod" });
    const pod = at(documents["daemonset.yaml"] ?? null, "spec.template.metadata.labels");
    const selector = {
      "k8s-app": "ip-masq-agent",
      "app.kubernetes.io/name": "masq",
      "app.kubernetes.io/instance": "prod",
    };
    expect(pod).toEqual({ ...selector, cost: "12", team: "pods" });
    expect(at(documents["podmonitor.yaml"] ?? null, "spec.selector.matchLabels")).toEqual(selector);
    for (const [name, document] of Object.entries({ ...documents, ...hooks }))
      expect(at(document, "metadata.labels.team"), name).toBe("network");
    // The DaemonSet would adopt a pod of the Job or of the test.
    for (const path of ["tests/rules.yaml", "validate.yaml Job"]) {
      const labels = at(
        hooks[path] ?? null,
        path.endsWith("Job") ? "spec.template.metadata.labels" : "metadata.labels",
      );
      expect(labels).toEqual({ "k8s-app": expect.not.stringMatching(/^ip-masq-agent$/), team: "network" });
    }
  });

  test.each([
    ["ip-masq-agent", "ip-masq-agent", "ip-masq-agent"],
    ["gpu", "gpu-ip-masq-agent", "gpu-ip-masq-agent"],
    ["a".repeat(53), `${"a".repeat(53)}-ip-masq-a`, `${"a".repeat(53)}-ip-masq-a`],
  ])("two releases share no name: %s", async (name, daemonSet, configMap) => {
    const values = {
      config: { inline: {}, watch: true },
      httpAddress: ":10279",
      monitoring: {
        podMonitor: { enabled: true },
        prometheusRule: { enabled: true },
        dashboard: { enabled: true },
      },
    };
    const { documents, hooks, notes } = await render(values, { name });
    expect(at(documents["daemonset.yaml"] ?? null, "metadata.name")).toBe(daemonSet);
    expect(at(documents["configmap.yaml"] ?? null, "metadata.name")).toBe(configMap);
    expect(at(documents["watch-role.yaml"] ?? null, "rules.0.resourceNames")).toEqual([configMap]);
    expect(notes).toContain(`daemonset/${daemonSet}`);
    for (const document of Object.values({ ...documents, ...hooks })) {
      const own = String(at(document, "metadata.name"));
      expect(own.startsWith(daemonSet.slice(0, 54))).toBe(true);
      expect(own.length).toBeLessThanOrEqual(253);
      if (at(document, "kind") === "Job") expect(own.length).toBeLessThanOrEqual(63);
    }
  });

  test.each([
    { nameOverride: "n".repeat(64) },
    { nameOverride: `${"n".repeat(62)}-b` },
    ...[53, 54, 57, 58, 61, 62].map((cut) => ({ fullnameOverride: `${"f".repeat(cut)}.${"x".repeat(20)}` })),
  ])("a long name is cut to a valid one: %j", async (values) => {
    const { documents, hooks } = await render({ ...values, config: { inline: {} } });
    for (const document of Object.values({ ...documents, ...hooks })) {
      expect(at(document, "metadata.name")).toMatch(
        /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
      );
      for (const value of Object.values(at(document, "metadata.labels") ?? {}))
        expect(String(value)).toMatch(/^([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?$/);
    }
  });

  // As `podLabels:` with nothing after it, which is null.
  test("a value that is empty is none", async () => {
    const empty = [
      ...[
        "imagePullSecrets",
        "nameOverride",
        "fullnameOverride",
        "namespaceOverride",
        "commonLabels",
        "flags",
      ],
      ...[
        "extraArgs",
        "extraEnv",
        "extraVolumes",
        "extraVolumeMounts",
        "extraContainers",
        "extraInitContainers",
      ],
      ...["podSecurityContext", "securityContext", "seccompProfile", "affinity", "daemonSetAnnotations"],
      ...["podAnnotations", "podLabels"],
    ];
    const none = Object.fromEntries(empty.map((key) => [key, null]));
    const global = { imageRegistry: null, imagePullSecrets: null };
    const serviceAccount = { create: null, name: null, annotations: null, automount: null };
    const config = { inline: {}, name: null, clusterCIDRs: null };
    const usual = await render({ ...REACHABLE, config: { inline: {} }, monitoring: ALL });
    const monitoring = {
      podMonitor: {
        ...ALL.podMonitor,
        labels: null,
        relabelings: null,
        metricRelabelings: null,
        endpoint: null,
      },
      prometheusRule: {
        ...ALL.prometheusRule,
        ...{
          labels: null,
          additionalRuleLabels: null,
          disabled: null,
          customRules: null,
          additionalRules: null,
        },
      },
      dashboard: { ...ALL.dashboard, annotations: null },
    };
    expect(await render({ ...none, ...REACHABLE, global, serviceAccount, config, monitoring })).toEqual(
      usual,
    );
  });

  test("a ConfigMap that somebody else makes has its usual name in every release", async () => {
    const { documents, notes } = await render({}, { name: "gpu" });
    const volume = at(documents["daemonset.yaml"] ?? null, `${POD}.volumes.0.configMap.name`);
    expect(volume).toBe("ip-masq-agent");
    expect(notes).toContain('ConfigMap "ip-masq-agent"');
  });

  test("a ServiceAccount with annotations, and a probe that is not wanted", async () => {
    const serviceAccount = { create: true, name: "masq", annotations: { note: "x" } };
    const { documents } = await render({ serviceAccount, livenessProbe: null });
    expect(at(documents["service-account.yaml"] ?? null, "metadata")).toMatchObject({
      name: "masq",
      annotations: { note: "x" },
    });
    const container = at(documents["daemonset.yaml"] ?? null, CONTAINER) as Record<string, Plain>;
    expect(Object.keys(container).filter((key) => key.endsWith("Probe"))).toEqual([
      "readinessProbe",
      "startupProbe",
    ]);
  });

  test("follows the ConfigMap with a ServiceAccount that is there already", async () => {
    const values = { config: { watch: true }, serviceAccount: { create: false, name: "masq" } };
    const { documents } = await render(values);
    expect(documents).not.toHaveProperty(["service-account.yaml"]);
    expect(at(documents["watch-role-binding.yaml"] ?? null, "subjects.0.name")).toBe("masq");
  });
});

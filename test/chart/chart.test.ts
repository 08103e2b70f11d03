/** What the chart makes of values: rendered by Helm, read as Kubernetes reads YAML, held against its schemas. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { allFlags } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { allManuals } from "../../src/cli/help.ts";
import { parseFlags } from "../../src/go/flags.ts";
import { type Policy, refusals, refusalsOf } from "../admission/cel.ts";
import { calls } from "../lab/documents.ts";
import { at, type Plain, parseManifest, readManifest } from "../lab/manifest.ts";
import { inChart, refusedValues, useChart } from "./chart.ts";
import { validateObject } from "./kubernetes.ts";
import { rightsOf, withoutLegacyRights } from "./rights.ts";
import { nullAt, valueRows } from "./rows.ts";

const { missing: MISSING, render } = useChart();
if (MISSING !== undefined) console.warn(`NOT TESTED: what the chart renders: ${MISSING}`);

const CONTAINER = "spec.template.spec.containers.0";
const REACHABLE = { httpAddress: "$(HOST_IP):10279" };
const MONITORED = {
  ...REACHABLE,
  monitoring: {
    podMonitor: { enabled: true, labels: { release: "prometheus" } },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
};

/** The one DaemonSet, checked. */
async function daemonSet(values: object): Promise<Plain> {
  const { documents } = await render(values);
  for (const document of Object.values(documents)) validateObject(document);
  return documents["daemonset.yaml"] ?? null;
}

/** Without the labels that only the chart sets. */
function plainLabels(value: Plain): Plain {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plainLabels);
  const own = Object.entries(value).filter(([key]) => !/^(app\.kubernetes\.io|helm\.sh)\//.test(key));
  return Object.fromEntries(own.map(([key, inner]) => [key, plainLabels(inner)]));
}

describe.skipIf(MISSING !== undefined)("the chart", () => {
  test("with its defaults is ip-masq-agent.yaml, but for the recommended labels", async () => {
    const rendered = await render({});
    const { documents, hooks, notes } = rendered;
    expect([Object.keys(documents), Object.keys(hooks)]).toEqual([["daemonset.yaml"], ["tests/rules.yaml"]]);
    expect(await render({ config: { inline: null } })).toEqual(rendered);
    const built = documents["daemonset.yaml"] ?? null;
    expect(plainLabels(built)).toEqual(readManifest("ip-masq-agent.yaml"));
    validateObject(built);
    const selector = {
      "k8s-app": "ip-masq-agent",
      "app.kubernetes.io/name": "ip-masq-agent",
      "app.kubernetes.io/instance": "ip-masq-agent",
    };
    expect(at(built, "spec.selector.matchLabels")).toEqual(selector);
    // None with a version, which would restart all agents when the chart alone changes.
    expect(at(built, "spec.template.metadata.labels")).toEqual(selector);
    expect(at(built, "metadata.labels")).toMatchObject({
      ...selector,
      "app.kubernetes.io/version": expect.any(String),
      "app.kubernetes.io/managed-by": "Helm",
    });
    expect(notes).toContain("kubectl -n kube-system rollout status daemonset/ip-masq-agent\n");
  });

  test.each([
    [{}, undefined],
    [
      { runbookUrl: "https://git.example.com/x/" },
      "https://git.example.com/x/docs/monitoring.md#ipmasqagentdown",
    ],
  ])("alerts with %j have the runbook_url %s", async (more, url) => {
    const prometheusRule = { enabled: true, ...more };
    const { documents } = await render({ ...REACHABLE, monitoring: { prometheusRule } });
    const rule = at(documents["prometheusrule.yaml"] ?? null, "spec.groups.0.rules.0.annotations");
    expect((rule as { runbook_url?: string }).runbook_url).toBe(url);
  });

  test("hands flags to the agent", async () => {
    const values = {
      backend: "nftables",
      enableIPv6: true,
      flags: { "ipset-threshold": 1_000_000, "random-fully": false, "to-ports": "1024-29999" },
    };
    const built = await daemonSet(values);
    expect(at(built, `${CONTAINER}.args`)).toEqual([
      "--backend=nftables",
      "--enable-ipv6",
      "--ipset-threshold=1000000",
      "--random-fully=false",
      "--to-ports=1024-29999",
    ]);
  });

  test.each([
    [{}, false],
    [{ backend: "auto" }, false],
    [{ backend: "nftables", removeLegacyRules: true }, false],
    [{ backend: "nftables" }, true],
  ])("with %j has only what nf_tables needs: %s", async (values, nftablesOnly) => {
    const built = at(await daemonSet(values), "spec.template.spec");
    const usual = at(readManifest("ip-masq-agent.yaml"), "spec.template.spec");
    expect(rightsOf(built)).toEqual(nftablesOnly ? withoutLegacyRights(rightsOf(usual)) : rightsOf(usual));
  });

  test("has the runtime's seccomp profile, or a file of the node's", async () => {
    const profileOf = async (values: object) =>
      at(await daemonSet(values), "spec.template.spec.securityContext.seccompProfile");
    expect(await profileOf({})).toEqual({ type: "RuntimeDefault" });
    const seccompProfile = "profiles/ip-masq-agent.json";
    expect(await profileOf({ seccompProfile })).toEqual({
      type: "Localhost",
      localhostProfile: seccompProfile,
    });
  });

  test.each([
    ["127.0.0.1:9000", "127.0.0.1", 9000, false],
    ["[::1]:9000", "::1", 9000, false],
    ["192.0.2.7:9000", "192.0.2.7", 9000, true],
    ["[2001:db8::7]:9000", "2001:db8::7", 9000, true],
    ["0.0.0.0:9000", undefined, 9000, true],
    ["[::]:9000", undefined, 9000, true],
    [":9000", undefined, 9000, true],
    ["[$(HOST_IP)]:9000", undefined, 9000, true],
  ])("probes follow httpAddress %s", async (httpAddress, host, port, reachable) => {
    const container = at(await daemonSet({ httpAddress }), CONTAINER);
    const asked = { ...(host === undefined ? {} : { host }), port };
    expect(at(container, "startupProbe.httpGet")).toEqual({ ...asked, path: "/livez" });
    expect(at(container, "livenessProbe.httpGet")).toEqual({ ...asked, path: "/livez" });
    expect(at(container, "readinessProbe.httpGet")).toEqual({ ...asked, path: "/readyz" });
    expect(at(container, "args")).toEqual([`--http-address=${httpAddress}`]);
    expect(Object.hasOwn(container as object, "ports")).toBe(reachable);
    expect(Object.hasOwn(container as object, "env")).toBe(httpAddress.includes("HOST_IP"));
  });

  test("without an httpAddress has no probes", async () => {
    const container = at(await daemonSet({ httpAddress: "" }), CONTAINER);
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe", "ports"])
      expect(container).not.toHaveProperty(probe);
  });

  test("asks the API server to refuse bad edits of its own ConfigMap", async () => {
    const config = { admission: true, name: "masq.conf", key: "masq" };
    const { documents } = await render({ config }, { namespace: "network" });
    const { "admission-policy.yaml": policy = null, "admission-binding.yaml": binding = null } = documents;
    for (const document of [policy, binding]) {
      validateObject(document);
      expect(at(document, "metadata.name")).toBe("network.masq.conf");
    }
    expect(at(policy, "spec.matchConstraints.resourceRules.0.resourceNames")).toEqual(["masq.conf"]);
    expect(at(binding, "spec.policyName")).toBe("network.masq.conf");
    expect(JSON.stringify(binding)).toContain('{"kubernetes.io/metadata.name":"network"}');
    const object = { metadata: { name: "masq.conf" }, data: { masq: "nonMasqueradeCIDRs: [10.1.0.0/8]" } };
    const spec = at(policy, "spec") as unknown as Policy;
    expect(refusals(spec, object)).toEqual(["10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?"]);
  });

  test("with config.watch is what the component makes, for its own ConfigMap and namespace", async () => {
    const config = { watch: true, name: "masq.conf", key: "masq" };
    const { documents } = await render({ config, backend: "nftables" }, { namespace: "network" });
    for (const document of Object.values(documents)) validateObject(document);
    const built = at(documents["daemonset.yaml"] ?? null, "spec.template.spec");
    expect(built).toMatchObject({ serviceAccountName: "ip-masq-agent", automountServiceAccountToken: true });
    expect(at(built, "containers.0.args")).toEqual([
      "--backend=nftables",
      "--config-map=masq.conf:masq",
      "--state-dir=/run/ip-masq-agent",
    ]);
    const { volumes, volumeMounts } = rightsOf(built);
    expect([volumes.at(-1), volumeMounts.at(-1)]).toEqual([
      { name: "state", emptyDir: { sizeLimit: "4Mi" } },
      { name: "state", mountPath: "/run/ip-masq-agent" },
    ]);
    const usual = await render({ config: { watch: true } });
    for (const name of ["service-account.yaml", "watch-role.yaml", "watch-role-binding.yaml"])
      expect(plainLabels(usual.documents[name] ?? null), name).toEqual(
        readManifest(`deploy/kustomize/components/api-watch/${name.replace("watch-", "")}`),
      );
    expect(at(documents["watch-role.yaml"] ?? null, "rules.0.resourceNames")).toEqual(["masq.conf"]);
    expect(at(documents["watch-role-binding.yaml"] ?? null, "subjects.0.namespace")).toBe("network");
  });

  test("with report is what the component makes, for its own ConfigMap and namespace, and the policy", async () => {
    const values = { report: "lease", config: { name: "masq.conf" }, httpAddress: "$(HOST_IP):10279" };
    const { documents } = await render(values, { namespace: "network" });
    for (const document of Object.values(documents)) validateObject(document);
    const built = at(documents["daemonset.yaml"] ?? null, "spec.template.spec");
    expect(built).toMatchObject({ serviceAccountName: "ip-masq-agent", automountServiceAccountToken: true });
    expect(at(built, "containers.0.args")).toEqual(["--http-address=$(HOST_IP):10279", "--report=lease"]);
    const env = at(built, "containers.0.env") as unknown as readonly { name: string }[];
    expect(env.map(({ name }) => name)).toEqual(["HOST_IP", "NODE_NAME", "POD_NAME", "POD_UID"]);
    const component = readManifest("deploy/kustomize/components/lease-report/kustomization.yaml");
    const patch = parseManifest(Buffer.from(String(at(component, "patches.1.patch"))), "patch");
    expect(env.slice(1)).toEqual(at(patch, "spec.template.spec.containers.0.env"));
    const usual = await render({ report: "lease" });
    for (const name of ["role", "role-binding"])
      expect(plainLabels(usual.documents[`report-${name}.yaml`] ?? null), name).toEqual(
        readManifest(`deploy/kustomize/components/lease-report/${name}.yaml`),
      );
    expect(plainLabels(usual.documents["service-account.yaml"] ?? null)).toEqual(
      readManifest("deploy/kustomize/components/service-account/service-account.yaml"),
    );
    expect(at(documents["report-role-binding.yaml"] ?? null, "subjects.0.namespace")).toBe("network");
    const [policy = null, binding = null] = ["policy", "binding"].map(
      (name) => documents[`report-${name}.yaml`],
    );
    expect(at(policy, "metadata.name")).toBe("network.ip-masq-agent-report");
    expect(at(binding, "spec.policyName")).toBe("network.ip-masq-agent-report");
    expect(JSON.stringify(binding)).toContain('{"kubernetes.io/metadata.name":"network"}');
    const reasons = (node: string, object: object, resource = "leases") =>
      refusalsOf(at(policy, "spec") as unknown as Policy, {
        ...{ object, oldObject: null },
        request: {
          operation: "CREATE",
          resource: { resource },
          userInfo: {
            username: "system:serviceaccount:network:ip-masq-agent",
            extra: { "authentication.kubernetes.io/node-name": [node] },
          },
        },
      });
    expect(reasons("a", { metadata: { name: "ip-masq-agent-a" } })).toEqual([]);
    expect(reasons("a", { metadata: { name: "ip-masq-agent-b" } })).toEqual([
      "an agent may write the Lease ip-masq-agent-a only",
    ]);
    const event = (name: string) => ({
      involvedObject: { kind: "ConfigMap", name },
      reason: "ConfigRefused",
    });
    expect(reasons("a", event("masq.conf"), "events")).toEqual([]);
    expect(reasons("a", event("ip-masq-agent"), "events")).toEqual([
      "an agent may write no Event but that the ConfigMap masq.conf is refused",
    ]);
    expect((await render({ report: "lease", reportAdmission: false })).documents).not.toHaveProperty([
      "report-policy.yaml",
    ]);
  });

  test("without all values that it can do without, it makes objects and notes all the same", async () => {
    const paths = valueRows(readFileSync(inChart("values.yaml"), "utf8")).map(({ path }) => path);
    const free = paths.filter(
      (path) => path !== "image.repository" && refusedValues(nullAt(path)).length === 0,
    );
    const flags = [...free, "updateStrategy.rollingUpdate"].flatMap((path) => ["--set", `${path}=null`]);
    const { documents, hooks, notes } = await render({}, { args: flags });
    for (const document of Object.values({ ...documents, ...hooks })) validateObject(document);
    expect(JSON.stringify({ documents, hooks, notes })).not.toMatch(/%!|nil\b|<no value>/);
  });

  test("writes the configuration into the ConfigMap that the DaemonSet shows", async () => {
    const inline = {
      nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"],
      cidrLimit: 1_000_000,
      masqLinkLocal: true,
    };
    const { documents } = await render({ config: { name: "mine", key: "masq", inline } });
    const map = documents["configmap.yaml"] ?? null;
    validateObject(map);
    expect(map).toMatchObject({ metadata: { name: "mine", namespace: "kube-system" } });
    expect(at(map, "data")).toEqual({
      masq: "cidrLimit: 1000000\nmasqLinkLocal: true\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n- fd00::/8",
    });
    const volume = at(documents["daemonset.yaml"] ?? null, "spec.template.spec.volumes.0.configMap");
    expect(volume).toMatchObject({ name: "mine", items: [{ key: "masq", path: "ip-masq-agent" }] });
  });

  test("stages a text by the name of its ConfigMap, which stays for the way back", async () => {
    const of = async (nonMasqueradeCIDRs: string[], more: object = {}) => {
      const config = { name: "mine", rollout: "staged", inline: { nonMasqueradeCIDRs }, ...more };
      const { hooks, notes, ...rendered } = await render({ config });
      const documents: Readonly<Record<string, Plain>> = {
        ...rendered.documents,
        "configmap.yaml": hooks["configmap.yaml"] ?? null,
      };
      for (const document of Object.values(documents)) validateObject(document);
      const { name } = at(documents["configmap.yaml"] ?? null, "metadata") as { name: string };
      expect(notes).toContain(`in ConfigMap "${name}"`);
      return { name, documents };
    };
    const first = await of(["10.0.0.0/8"]);
    expect(first.name).toMatch(/^mine-[0-9a-f]{10}$/);
    expect(first.documents).toMatchObject({
      "configmap.yaml": {
        metadata: {
          annotations: {
            "helm.sh/hook": "pre-install,pre-upgrade,pre-rollback",
            "helm.sh/hook-delete-policy": "before-hook-creation",
          },
        },
        immutable: true,
      },
    });
    const volume = at(first.documents["daemonset.yaml"] ?? null, "spec.template.spec.volumes.0.configMap");
    expect(volume).toMatchObject({ name: first.name, optional: false });
    expect((await of(["10.0.0.0/8"])).name).toBe(first.name);

    const bad = await of(["10.1.0.0/8"], { admission: true });
    expect(bad.name).not.toBe(first.name);
    const policy = bad.documents["admission-policy.yaml"] ?? null;
    expect(at(policy, "spec.matchConstraints.resourceRules.0")).not.toHaveProperty("resourceNames");
    const object = { metadata: { name: bad.name }, data: { config: "nonMasqueradeCIDRs: [10.1.0.0/8]" } };
    const judged = at(policy, "spec") as unknown as Policy;
    expect(refusals(judged, object)).toEqual(["10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?"]);
    expect(refusals(judged, { ...object, metadata: { name: "others-1" } })).toEqual([]);
  });

  test.each([
    [{}, "config.rollout: staged needs config.inline"],
    [{ inline: {}, watch: true }, "config.watch follows edits in place"],
  ])("refuses to stage with %j", async (config, why) => {
    await expect(render({ config: { rollout: "staged", ...config } })).rejects.toThrow(why);
  });

  test("makes the monitoring objects that deploy/monitoring has", async () => {
    const { documents } = await render(MONITORED);
    for (const document of Object.values(documents)) validateObject(document);
    const [monitor, rule] = [documents["podmonitor.yaml"] ?? null, documents["prometheusrule.yaml"] ?? null];
    const plain = at(readManifest("deploy/monitoring/pod-monitor.yaml"), "spec");
    expect(plainLabels(at(monitor, "spec"))).toEqual(plain);
    expect(at(monitor, "metadata.labels")).toMatchObject({
      release: "prometheus",
      "k8s-app": "ip-masq-agent",
    });
    expect(at(rule, "spec")).toEqual(at(readManifest("deploy/monitoring/prometheus-rule.yaml"), "spec"));
    const dashboard = at(documents["dashboard.yaml"] ?? null, "data") as Record<string, string>;
    expect(dashboard["ip-masq-agent.json"]).toBe(
      readFileSync(inChart("files/grafana-dashboard.json"), "utf8"),
    );
    const container = at(documents["daemonset.yaml"] ?? null, CONTAINER);
    expect(at(container, "ports.0.name")).toBe(at(monitor, "spec.podMetricsEndpoints.0.port"));
  });

  test("does not watch what Prometheus cannot reach, and says what to set", async () => {
    const watched = render({ ...MONITORED, httpAddress: "127.0.0.1:10279" });
    await expect(watched).rejects.toThrow(
      /monitoring\.podMonitor\.enabled: .* Set httpAddress to \$\(HOST_IP\):10279/,
    );
  });

  test("lets no text out of its place, even where the schema is not asked", async () => {
    const evil = 'x"\n  hostPID: true\n# {{ fail "x" }} &a *b !!str \u2028';
    const values = {
      image: { repository: evil, tag: evil, pullPolicy: evil },
      config: { name: evil, key: evil, inline: { resyncInterval: evil } },
      backend: evil,
      flags: { "to-ports": evil },
      priorityClassName: evil,
      seccompProfile: evil,
      maxUnavailable: evil,
      podAnnotations: { note: evil },
      nodeSelector: { node: evil },
    };
    const { documents } = await render(values, { namespace: evil });
    const pod = at(documents["daemonset.yaml"] ?? null, "spec.template.spec");
    const usual = at(readManifest("ip-masq-agent.yaml"), "spec.template.spec");
    expect(Object.keys(pod as object).toSorted()).toEqual(Object.keys(usual as object).toSorted());
    expect(at(pod, "containers.0")).toMatchObject({
      image: `${evil}:${evil}`,
      args: [`--backend=${evil}`, `--to-ports=${evil}`],
      securityContext: at(usual, "containers.0.securityContext"),
    });
    expect(at(pod, "nodeSelector")).toMatchObject({ node: evil });
    expect(at(pod, "securityContext.seccompProfile")).toEqual({ type: "Localhost", localhostProfile: evil });
    expect(at(documents["configmap.yaml"] ?? null, "metadata")).toMatchObject({
      name: evil,
      namespace: evil,
    });
  });

  test("notes name commands and flags that the agent has", async () => {
    const manuals = await allManuals(COMMANDS);
    const { notes } = await render({ backend: "auto", enableIPv6: true, httpAddress: "[::1]:9000" });
    const shown = calls(`\`\`\`sh\n${notes}\n\`\`\``).map((args) => args.split(" "));
    for (const [name = "", ...args] of shown) {
      const manual = manuals.find((one) => one.name === name);
      const parsed = parseFlags(manual === undefined ? {} : allFlags(manual), args, "anywhere");
      expect(parsed, name).not.toMatchObject({ kind: "error" });
    }
    // Beside an agent they take its flags over, so there is no need to repeat the values.
    expect(shown).toEqual([["status"], ["explain", "--live", "10.0.0.1", "8.8.8.8"]]);
  });

  test("takes the image by digest, and secrets to pull it with", async () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const built = await daemonSet({
      image: { repository: "r.example/x", digest, pullPolicy: "Always" },
      imagePullSecrets: [{ name: "pull" }],
    });
    expect(at(built, CONTAINER)).toMatchObject({ image: `r.example/x@${digest}`, imagePullPolicy: "Always" });
    expect(at(built, "spec.template.spec.imagePullSecrets")).toEqual([{ name: "pull" }]);
  });
});

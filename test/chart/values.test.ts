/** The chart's values, schema, README and copies of files: what can be known without rendering it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { agentFlags } from "../../src/cli/options.ts";
import { CONFIG_KEYS } from "../../src/core/keys.ts";
import { markdownTable, withMade } from "../lab/made.ts";
import { at, type Plain, readManifest } from "../lab/manifest.ts";
import { defaultValues, inChart, refusedValues } from "./chart.ts";
import { validateObject } from "./kubernetes.ts";
import { nullAt, valueCells, valueRows, withoutRow } from "./rows.ts";
import { typeErrors } from "./strict.ts";

test("the defaults are allowed", () => {
  expect(refusedValues(defaultValues() as object)).toEqual([]);
});

test.each([
  [{ backend: "ipfw" }, "backend"],
  [{ enableIPv6: "yes" }, "enableIPv6"],
  [{ httpAdress: "127.0.0.1:1" }, "httpAdress"],
  [{ httpAddress: 10279 }, "httpAddress"],
  [{ image: { tag: "v1\n  privileged: true" } }, "image.tag"],
  [{ image: { digest: "sha256:123" } }, "image.digest"],
  [{ config: { inline: { nonMasqueradeCIDR: [] } } }, "config.inline.nonMasqueradeCIDR"],
  [{ config: { inline: { nonMasqueradeCIDRs: [10] } } }, "config.inline.nonMasqueradeCIDRs.0"],
  [{ config: { validate: true } }, "config.validate"],
  [{ config: { inline: { resyncInterval: 60 } } }, "config.inline.resyncInterval"],
  [{ config: { inline: { masqueradeSourceCIDRs: "10.0.0.0/8" } } }, "config.inline.masqueradeSourceCIDRs"],
  [{ config: { inline: { outputInterfaces: ["!eth0"] } } }, "config.inline.outputInterfaces.0"],
  [{ config: { inline: { outputAddresses: ["eth0"] } } }, "config.inline.outputAddresses.0"],
  [{ config: { inline: { outputAddressBy: "node" } } }, "config.inline.outputAddressBy"],
  [{ config: { name: "Not_A_Name" } }, "config.name"],
  [{ config: { admission: "yes" } }, "config.admission"],
  [{ config: { watch: "yes" } }, "config.watch"],
  [{ config: { rollout: "canary" } }, "config.rollout"],
  [{ report: "leases" }, "report"],
  [{ flags: { "enable-ipv6": true } }, "flags.enable-ipv6"],
  [{ flags: { log_file_max_size: "0" } }, "flags.log_file_max_size"],
  [{ flags: { "to-ports": "1024; reboot" } }, "flags.to-ports"],
  [{ removeLegacyRules: "once" }, "removeLegacyRules"],
  [{ seccompProfile: "/var/lib/kubelet/seccomp/x.json" }, "seccompProfile"],
  [{ seccompProfile: "../x.json" }, "seccompProfile"],
  [{ seccompProfile: { type: "Unconfined" } }, "seccompProfile"],
  [
    { updateStrategy: { rollingUpdate: { maxUnavailable: "101%" } } },
    "updateStrategy.rollingUpdate.maxUnavailable",
  ],
  [{ updateStrategy: { rollingUpdate: { maxSurge: 1 } } }, "updateStrategy.rollingUpdate.maxSurge"],
  [{ extraArgs: { v: 2 } }, "extraArgs"],
  [{ env: [] }, "env"],
  [{ extraEnv: { NAME: "value" } }, "extraEnv"],
  [{ podLabels: { pool: true } }, "podLabels.pool"],
  [{ serviceAccount: { create: "no" } }, "serviceAccount.create"],
  [{ securityContext: { priviledged: true } }, "securityContext.priviledged"],
  [{ livenessProbe: { period: 1 } }, "livenessProbe.period"],
  [{ nameOverride: "Masq" }, "nameOverride"],
  [{ global: { imageRegistry: 1 } }, "global.imageRegistry"],
  [
    { monitoring: { prometheusRule: { thresholds: { snatPorts: 80 } } } },
    "monitoring.prometheusRule.thresholds.snatPorts",
  ],
  [{ resources: { limit: {} } }, "resources.limit"],
  [{ monitoring: { podMonitor: { enabled: 1 } } }, "monitoring.podMonitor.enabled"],
])("%j is refused by the key's name", (values, key) => {
  expect(refusedValues(values)).toEqual([key]);
});

test("a value that is taken away with null is refused by name, if the chart cannot do without it", () => {
  const paths = valueRows(readFileSync(inChart("values.yaml"), "utf8")).map(({ path }) => path);
  const refused = paths.filter((path) => refusedValues(nullAt(path)).length > 0);
  for (const path of refused) expect(refusedValues(nullAt(path))).toEqual([path]);
  expect(refused.filter((path) => !path.includes("thresholds"))).toEqual([
    "config.key",
    "config.rollout",
    "config.validate",
    "report",
    "backend",
    "httpAddress",
    "updateStrategy",
    "terminationGracePeriodSeconds",
    "monitoring.podMonitor.interval",
  ]);
  expect(refusedValues({ monitoring: null })).toEqual(["monitoring"]);
});

test("what operators write is allowed", () => {
  const values = {
    image: { repository: "registry.example.com:5000/network/ip-masq-agent", tag: "v0.1.0-3-gabc" },
    config: {
      inline: {
        nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"],
        masqueradeSourceCIDRs: ["10.244.0.0/16"],
        nonMasqueradeSourceCIDRs: ["10.244.128.0/20"],
        outputInterfaces: ["eth0", "bond+"],
        outputAddresses: ["192.0.2.10", "2001:db8::/64"],
        outputAddressBy: "flow",
        cidrLimit: 64,
        resyncInterval: "1m30s",
      },
    },
    httpAddress: "[$(HOST_IP)]:10279",
    flags: { "to-ports": "1024-29999,32768-65535", v: 2, vmodule: "loop=4" },
    seccompProfile: "profiles/ip-masq-agent.json",
    tolerations: [],
    updateStrategy: { rollingUpdate: { maxUnavailable: 1 } },
    startupProbe: null,
    global: { imagePullSecrets: ["pull", { name: "other" }], of: "another chart" },
  };
  expect(refusedValues(values)).toEqual([]);
});

/** What the schema says of a flag's type; undefined where it has a pattern or limits of its own. */
function schemaOf(name: keyof typeof agentFlags): object | undefined {
  const { type } = agentFlags[name];
  const refused = type.parse("no such word");
  const words = refused.ok ? undefined : /^must be one of (.*)$/.exec(refused.message)?.[1];
  if (words !== undefined) return { enum: words.split(", ") };
  if (type.name === "bool") return { type: "boolean" };
  return type.name === "int" ? { type: "integer", minimum: 0 } : undefined;
}

test("flags has every flag of the agent but those with a value of their own", () => {
  const schema = JSON.parse(readFileSync(inChart("values.schema.json"), "utf8"));
  const known = at(schema, "properties.flags.properties") as Record<string, object>;
  const own = ["backend", "enable-ipv6", "http-address", "config", "config-map", "state-dir", "report"];
  const names = (Object.keys(agentFlags) as (keyof typeof agentFlags)[]).filter(
    (name) => !own.includes(name),
  );
  expect(known).toEqual(Object.fromEntries(names.map((name) => [name, schemaOf(name) ?? known[name]])));
});

test("config.inline has every key of the configuration", () => {
  const schema = JSON.parse(readFileSync(inChart("values.schema.json"), "utf8"));
  const known = at(schema, "properties.config.properties.inline.properties") as object;
  expect(Object.keys(known)).toEqual(CONFIG_KEYS);
});

test("the chart has the program's version", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect(readManifest(inChart("Chart.yaml"))).toMatchObject({ version, appVersion: version });
});

test.each([
  ["alerts.yaml", "monitoring/alerts.yaml"],
  ["grafana-dashboard.json", "monitoring/grafana-dashboard.json"],
  ["admission-policy.yaml", "admission/policy.yaml"],
  ["admission-binding.yaml", "admission/binding.yaml"],
  ["report-policy.yaml", "admission/report-policy.yaml"],
  ["report-binding.yaml", "admission/report-binding.yaml"],
])("%s is a copy of deploy/%s", async (name, original) => {
  const text = readFileSync(`deploy/${original}`, "utf8");
  await expect(text).toMatchFileSnapshot(`../../${inChart(`files/${name}`)}`);
});

test("the README's table has every value with its default", async () => {
  const text = readFileSync(inChart("values.yaml"), "utf8");
  expect(withoutRow(text, defaultValues())).toEqual([]);
  const table = markdownTable(["value", "default", "meaning"], valueCells(text, defaultValues()));
  const made = withMade(readFileSync(inChart("README.md"), "utf8"), "values", table);
  expect(made).toContain("| `enableIPv6` | `false` |");
  expect(made).toContain('| `nodeSelector` | `{"kubernetes.io/os":"linux"}` |');
  await expect(made).toMatchFileSnapshot(`../../${inChart("README.md")}`);
});

test("a value without a row is found", () => {
  const text = "# -- One.\na:\n  b: 1\nc:\n  # -- Two\n  # lines.\n  d: 2\n  # Not a row.\n  e: 3\n";
  expect(valueRows(text)).toEqual([
    { path: "a", meaning: "One" },
    { path: "c.d", meaning: "Two lines" },
  ]);
  expect(withoutRow(text, { a: { b: 1 }, c: { d: 2, e: 3 } })).toEqual(["c.e"]);
});

test("the schemas of Kubernetes find what is wrong, and its types what it does not know", async () => {
  const manifest = readManifest("ip-masq-agent.yaml") as { spec: { template: { spec: object } } };
  validateObject(manifest as unknown as Plain);
  const { spec } = manifest.spec.template;
  const changed = (pod: object) =>
    ({ ...manifest, spec: { ...manifest.spec, template: { spec: pod } } }) as unknown as Plain;
  expect(() => validateObject(changed({ ...spec, hostNetwork: "yes" }))).toThrow(/hostNetwork/);
  expect(() => validateObject(changed({ ...spec, containers: undefined }))).toThrow(/containers/);
  expect(await typeErrors([manifest as unknown as Plain])).toBe("");
  expect(await typeErrors([changed({ ...spec, hostNetwrok: true })])).toContain(
    "'\"hostNetwrok\"' does not exist",
  );
});

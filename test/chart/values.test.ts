/** The chart's values, schema, README and copies of files: what can be known without rendering it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { agentFlags } from "../../src/cli/options.ts";
import { CONFIG_KEYS } from "../../src/core/keys.ts";
import { at, type Plain, readManifest } from "../lab/manifest.ts";
import { defaultValues, inChart, refusedValues } from "./chart.ts";
import { validateObject } from "./kubernetes.ts";
import { typeErrors } from "./strict.ts";

test("the defaults are allowed", () => {
  expect(refusedValues(defaultValues() as object)).toEqual([]);
});

test.each([
  [{ backend: "ipfw" }, "backend"],
  [{ enableIPv6: "yes" }, "enableIPv6"],
  [{ httpAdress: "127.0.0.1:1" }, "httpAdress"],
  [{ httpAddress: "localhost" }, "httpAddress"],
  [{ httpAddress: "127.0.0.1:65536" }, "httpAddress"],
  [{ image: { tag: "v1\n  privileged: true" } }, "image.tag"],
  [{ image: { digest: "sha256:123" } }, "image.digest"],
  [{ config: { inline: { nonMasqueradeCIDR: [] } } }, "config.inline.nonMasqueradeCIDR"],
  [{ config: { inline: { nonMasqueradeCIDRs: ["10.0.0.0"] } } }, "config.inline.nonMasqueradeCIDRs.0"],
  [{ config: { inline: { resyncInterval: 60 } } }, "config.inline.resyncInterval"],
  [{ config: { inline: { masqueradeSourceCIDRs: "10.0.0.0/8" } } }, "config.inline.masqueradeSourceCIDRs"],
  [{ config: { inline: { outputInterfaces: ["!eth0"] } } }, "config.inline.outputInterfaces.0"],
  [{ config: { inline: { outputAddresses: ["eth0"] } } }, "config.inline.outputAddresses.0"],
  [{ config: { inline: { outputAddressBy: "node" } } }, "config.inline.outputAddressBy"],
  [{ config: { name: "Not_A_Name" } }, "config.name"],
  [{ config: { admission: "yes" } }, "config.admission"],
  [{ config: { watch: "yes" } }, "config.watch"],
  [{ config: { rollout: "canary" } }, "config.rollout"],
  [{ flags: { "enable-ipv6": true } }, "flags.enable-ipv6"],
  [{ flags: { logtostderr: false } }, "flags.logtostderr"],
  [{ flags: { "to-ports": "1024; reboot" } }, "flags.to-ports"],
  [{ removeLegacyRules: "once" }, "removeLegacyRules"],
  [{ seccompProfile: "/var/lib/kubelet/seccomp/x.json" }, "seccompProfile"],
  [{ seccompProfile: "../x.json" }, "seccompProfile"],
  [{ seccompProfile: { type: "Unconfined" } }, "seccompProfile"],
  [{ maxUnavailable: "101%" }, "maxUnavailable"],
  [{ resources: { limit: {} } }, "resources.limit"],
  [{ monitoring: { podMonitor: { enabled: 1 } } }, "monitoring.podMonitor.enabled"],
])("%j is refused by the key's name", (values, key) => {
  expect(refusedValues(values)).toEqual([key]);
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
    maxUnavailable: 1,
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

test("flags has every flag of the agent but those with a value of their own, and those that write files", () => {
  const schema = JSON.parse(readFileSync(inChart("values.schema.json"), "utf8"));
  const known = at(schema, "properties.flags.properties") as Record<string, object>;
  const own = ["backend", "enable-ipv6", "http-address", "config", "config-map", "state-dir"];
  const filesOnly =
    /^(log_dir|log_file|log_file_max_size|logtostderr|also|one_output|skip_log|stderr|legacy_stderr)/;
  const names = (Object.keys(agentFlags) as (keyof typeof agentFlags)[]).filter(
    (name) => !own.includes(name) && !filesOnly.test(name) && name !== "log_backtrace_at",
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
])("%s is a copy of deploy/%s", async (name, original) => {
  const text = readFileSync(`deploy/${original}`, "utf8");
  await expect(text).toMatchFileSnapshot(`../../${inChart(`files/${name}`)}`);
});

test("the README's table has every value with its default", () => {
  const text = readFileSync(inChart("README.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([\w.]+)` \| `([^`]*)` \|/gm)];
  const documented = rows.map(([, path, initial]) => [path, JSON.parse(initial ?? "")]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(leaves(defaultValues())));
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

/** Values and their places: a list, an empty object and one with dots in its keys count as a value. */
function leaves(value: Plain, path = ""): [string, Plain][] {
  const whole = ["resources", "nodeSelector", "monitoring.dashboard.labels"].includes(path);
  if (
    value === null ||
    typeof value !== "object" ||
    Array.isArray(value) ||
    whole ||
    Object.keys(value).length === 0
  )
    return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`));
}

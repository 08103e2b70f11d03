/** The overlays in deploy/kustomize: what they name is there, and what the real tool makes of them. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attempt } from "../lab/command.ts";
import { at, type Plain, parseManifest, readManifest } from "../lab/manifest.ts";
import { kustomizeTool } from "../lab/tool.ts";
import { validateObject } from "./kubernetes.ts";
import { rightsOf, withoutLegacyRights } from "./rights.ts";
import { typeErrors } from "./strict.ts";

const DIRECTORY = "deploy/kustomize";
const CONTAINER = "spec.template.spec.containers.0";
const KUSTOMIZE = kustomizeTool();
if (KUSTOMIZE === undefined)
  console.warn(`NOT TESTED: what kustomize makes of ${DIRECTORY}, since it is missing (or kubectl)`);

/** What kustomize builds, checked; the DaemonSet first. */
async function build(directory: string): Promise<readonly Plain[]> {
  const [tool = "", ...args] = KUSTOMIZE ?? [];
  const { code, stdout, stderr } = await attempt(tool, [...args, directory]);
  if (code !== 0) throw new Error(stderr);
  const documents = stdout.split(/^---$/m).map((text) => parseManifest(Buffer.from(text), directory));
  for (const document of documents) validateObject(document);
  return documents;
}

type Change = (spec: Plain) => void;

/** The DaemonSet of the root with other args, and other rights. */
function withArgs(args: readonly string[], change: Change = () => {}): Plain {
  const whole = structuredClone(readManifest("ip-masq-agent.yaml"));
  Object.assign(at(whole, CONTAINER) as object, { args });
  change(at(whole, "spec.template.spec"));
  return whole;
}

const nftablesOnly: Change = (spec) => {
  const { container, volumes, volumeMounts } = withoutLegacyRights(rightsOf(spec));
  Object.assign(at(spec, "containers.0") as object, { securityContext: container, volumeMounts });
  Object.assign(spec as object, { volumes });
};

const ownProfile: Change = (spec) => {
  const seccompProfile = { type: "Localhost", localhostProfile: "ip-masq-agent.json" };
  Object.assign(spec as object, { securityContext: { seccompProfile } });
};

const API_WATCH = "components/api-watch";
const followFlags = ["--config-map=ip-masq-agent", "--state-dir=/run/ip-masq-agent"];
const follows: Change = (spec) => {
  const { volumes, volumeMounts } = rightsOf(spec);
  const mount = { name: "state", mountPath: "/run/ip-masq-agent" };
  Object.assign(at(spec, "containers.0") as object, { volumeMounts: [...volumeMounts, mount] });
  Object.assign(spec as object, {
    serviceAccountName: "ip-masq-agent",
    automountServiceAccountToken: true,
    volumes: [...volumes, { name: "state", emptyDir: { sizeLimit: "4Mi" } }],
  });
};

/** The objects that kustomize builds from an overlay with this text. It is next to a clone, as in the README. */
async function buildText(
  text: string,
  files: Readonly<Record<string, string>> = {},
): Promise<readonly Plain[]> {
  mkdirSync("build", { recursive: true });
  const directory = mkdtempSync("build/overlay-");
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
    writeFileSync(join(directory, "kustomization.yaml"), text.replaceAll("../ip-masq-agent/", "../../"));
    return await build(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("the base's DaemonSet is a copy of the one in the root", async () => {
  const text = readFileSync("ip-masq-agent.yaml", "utf8");
  await expect(text).toMatchFileSnapshot(`../../${DIRECTORY}/base/ip-masq-agent.yaml`);
});

test("the text that overlay staged begins with is the example's", async () => {
  const text = readFileSync("agent-config/config", "utf8");
  await expect(text).toMatchFileSnapshot(`../../${DIRECTORY}/overlays/staged/config`);
});

test.each(["nftables", "ipv6", "monitoring"])("everything that overlay %s names is there", (name) => {
  const overlay = join(DIRECTORY, "overlays", name);
  const { resources, components = [] } = readManifest(join(overlay, "kustomization.yaml")) as {
    resources: string[];
    components?: string[];
  };
  for (const path of [...resources, ...components].map((path) => join(overlay, path))) {
    expect(statSync(path).isDirectory(), path).toBe(true);
    expect(existsSync(join(path, "kustomization.yaml")), path).toBe(true);
  }
});

test("the Role names one ConfigMap and cannot change it, and the FlowSchema is for its ServiceAccount", async () => {
  const of = (name: string) => readManifest(join(DIRECTORY, API_WATCH, `${name}.yaml`));
  expect(at(of("role"), "rules")).toEqual([
    {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: ["ip-masq-agent"],
      verbs: ["list", "watch"],
    },
  ]);
  const account = { name: "ip-masq-agent", namespace: "kube-system" };
  expect(at(of("role-binding"), "subjects")).toEqual([{ kind: "ServiceAccount", ...account }]);
  const flow = of("flow-schema");
  validateObject(flow);
  expect(await typeErrors([flow])).toBe("");
  expect(at(flow, "spec.rules.0.subjects")).toEqual([{ kind: "ServiceAccount", serviceAccount: account }]);
});

describe.skipIf(KUSTOMIZE === undefined)("kustomize", () => {
  test.each<[string, readonly string[], Change?]>([
    ["base", []],
    ["overlays/nftables", ["--backend=nftables"], nftablesOnly],
    ["overlays/ipv6", ["--enable-ipv6"]],
  ])("builds %s with flags %j, and changes nothing else", async (path, args, change) => {
    expect(await build(join(DIRECTORY, path))).toEqual([withArgs(args, change)]);
  });

  test("builds staged: the text's hash in the name, which the DaemonSet shows, and nothing else", async () => {
    const built = await build(join(DIRECTORY, "overlays/staged"));
    const map = built.find((document) => at(document, "kind") === "ConfigMap") ?? null;
    const name = String(at(map, "metadata.name"));
    expect(name).toMatch(/^ip-masq-agent-[a-z0-9]{10}$/);
    expect(map).toMatchObject({ immutable: true, metadata: { namespace: "kube-system" } });
    expect(at(map, "data.config")).toBe(readFileSync("agent-config/config", "utf8"));
    const whole = withArgs([], (spec) => {
      Object.assign(at(spec, "volumes.0.configMap") as object, { name, optional: false });
    });
    expect(built.filter((document) => document !== map)).toEqual([whole]);
    expect(await typeErrors(built)).toBe("");
  });

  const OVERLAY = `../ip-masq-agent/${DIRECTORY}/overlays/staged`;
  const asked = { components: [`../ip-masq-agent/${DIRECTORY}/${API_WATCH}`] };
  test.each<[string, object]>([
    ["on top of", { ...asked, resources: [OVERLAY] }],
    [
      "in",
      {
        ...asked,
        resources: [`../ip-masq-agent/${DIRECTORY}/base`],
        patches: at(readManifest(join(DIRECTORY, "overlays/staged/kustomization.yaml")), "patches"),
      },
    ],
  ])("builds no api-watch %s staged, where nothing can be followed", async (_where, overlay) => {
    await expect(buildText(JSON.stringify(overlay))).rejects.toThrow(/testing value .* failed/);
  });

  test("builds monitoring as deploy/monitoring does", async () => {
    const built = await build(join(DIRECTORY, "overlays/monitoring"));
    expect(built.map((document) => at(document, "kind"))).toEqual([
      "DaemonSet",
      "PodMonitor",
      "PrometheusRule",
    ]);
    expect(built).toEqual(await build("deploy/monitoring"));
  });

  test.each<[readonly string[], readonly string[], Change?]>([
    [["seccomp"], [], ownProfile],
    [
      ["seccomp", "nftables", "ipv6"],
      ["--backend=nftables", "--enable-ipv6"],
      (spec) => {
        nftablesOnly(spec);
        ownProfile(spec);
      },
    ],
  ])("builds the components %j together, and changes nothing else", async (names, args, change) => {
    const directory = `../ip-masq-agent/${DIRECTORY}`;
    const components = names.map((name) => `${directory}/components/${name}`);
    const text = JSON.stringify({ resources: [`${directory}/base`], components });
    expect(await buildText(text)).toEqual([withArgs(args, change)]);
  });

  test.each<[readonly string[], readonly string[], Change?]>([
    [["api-watch"], followFlags],
    [
      ["nftables", "api-watch", "ipv6"],
      ["--backend=nftables", ...followFlags, "--enable-ipv6"],
      nftablesOnly,
    ],
    [["api-watch", "nftables"], [...followFlags, "--backend=nftables"], nftablesOnly],
  ])("builds %j with a token that can read one ConfigMap, and nothing else", async (names, args, change) => {
    const directory = `../ip-masq-agent/${DIRECTORY}`;
    const components = names.map((name) => `${directory}/components/${name}`);
    const built = await buildText(JSON.stringify({ resources: [`${directory}/base`], components }));
    const whole = withArgs(args, (spec) => {
      change?.(spec);
      follows(spec);
    });
    const made = ["service-account", "role", "role-binding"].map((name) =>
      readManifest(join(DIRECTORY, API_WATCH, `${name}.yaml`)),
    );
    const byKind = (objects: readonly Plain[]) =>
      objects.toSorted((a, b) => String(at(a, "kind")).localeCompare(String(at(b, "kind"))));
    expect(byKind(built)).toEqual(byKind([whole, ...made]));
    expect(await typeErrors(built)).toBe("");
  });

  test("builds the second overlay of docs/install.md: the DaemonSet finds the ConfigMap that is generated", async () => {
    const [, snippet = ""] = [
      ...readFileSync("docs/install.md", "utf8").matchAll(/```yaml\n(apiVersion: kustomize[^`]*)```/g),
    ].map(([, text = ""]) => text);
    // The remote base is this tree.
    const local = snippet.replace(/https:\S+?\/\/(\S+)\?ref=\S+/, "../ip-masq-agent/$1");
    expect(local).not.toBe(snippet);
    const built = await buildText(local, { config: readFileSync("agent-config/config", "utf8") });
    const byKind = (kind: string) => built.find((one) => at(one, "kind") === kind) ?? null;
    const { name, items } = at(byKind("DaemonSet"), "spec.template.spec.volumes.0.configMap") as Record<
      string,
      Plain
    >;
    expect(at(byKind("ConfigMap"), "metadata")).toMatchObject({ name, namespace: "kube-system" });
    expect(at(byKind("ConfigMap"), "data")).toHaveProperty(String(at(items ?? null, "0.key")));
    expect(at(byKind("DaemonSet"), CONTAINER)).toMatchObject({
      image: "registry.example.com/network/ip-masq-agent:v0.1.0",
    });
  });

  test.each<[readonly string[], readonly string[], Change?]>([
    [["service-account", "lease-report"], []],
    [["api-watch", "lease-report"], followFlags, follows],
    [["lease-report", "api-watch"], followFlags, follows],
  ])("builds %j with a token that can write Leases, and nothing else", async (names, args, change) => {
    const directory = `../ip-masq-agent/${DIRECTORY}`;
    const components = names.map((name) => `${directory}/components/${name}`);
    const built = await buildText(JSON.stringify({ resources: [`${directory}/base`], components }));
    const flags = names[0] === "lease-report" ? ["--report=lease", ...args] : [...args, "--report=lease"];
    const whole = withArgs(flags, (spec) => {
      change?.(spec);
      Object.assign(spec as object, {
        serviceAccountName: "ip-masq-agent",
        automountServiceAccountToken: true,
      });
      const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
      const env = [
        field("NODE_NAME", "spec.nodeName"),
        field("POD_NAME", "metadata.name"),
        field("POD_UID", "metadata.uid"),
      ];
      Object.assign(at(spec, "containers.0") as object, { env });
    });
    const [daemonSet] = built.filter((one) => at(one, "kind") === "DaemonSet");
    expect(daemonSet).toEqual(whole);
    const files = [
      ...["role", "role-binding"].map((name) => `components/lease-report/${name}.yaml`),
      ...(change ? ["role", "role-binding"].map((name) => `${API_WATCH}/${name}.yaml`) : []),
      "components/service-account/service-account.yaml",
    ];
    const others = built.filter((one) => one !== daemonSet);
    expect(others).toHaveLength(files.length);
    expect(others).toEqual(expect.arrayContaining(files.map((file) => readManifest(join(DIRECTORY, file)))));
    expect(await typeErrors(built)).toBe("");
  });

  test("builds the first overlay of docs/install.md: components combined with each other, with monitoring, and an image", async () => {
    const snippet =
      /```yaml\n(apiVersion: kustomize[^`]*)```/.exec(readFileSync("docs/install.md", "utf8"))?.[1] ?? "";
    const [built = null] = await buildText(snippet);
    const args = ["--http-address=$(HOST_IP):10279", "--backend=nftables", "--enable-ipv6"];
    const image = "registry.example.com/network/ip-masq-agent:v0.1.0";
    expect(at(built, CONTAINER)).toMatchObject({ args, image });
    const usual = at(readManifest("ip-masq-agent.yaml"), "spec.template.spec");
    expect(rightsOf(at(built, "spec.template.spec"))).toEqual(withoutLegacyRights(rightsOf(usual)));
  });
});

/** What Helm runs beside the agents: the Job that validates, and the test. */
import { describe, expect, test } from "vitest";
import { allFlags } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { allManuals } from "../../src/cli/help.ts";
import { parseFlags } from "../../src/go/flags.ts";
import { at, type Plain } from "../lab/manifest.ts";
import { useChart } from "./chart.ts";
import { validateObject } from "./kubernetes.ts";

const { missing, render } = useChart();

const INLINE = { nonMasqueradeCIDRs: ["10.0.0.0/8"] };
const VALUES = {
  config: { inline: INLINE, clusterCIDRs: ["10.244.0.0/16", "fd00::/48"] },
  enableIPv6: true,
  backend: "nftables",
  flags: { "ipset-threshold": 1_000_000, "random-fully": false, "nomasq-all-reserved-ranges": true },
};

async function jobOf(values: object): Promise<Plain> {
  return (await render(values)).hooks["validate.yaml Job"] ?? null;
}

/** Throws unless a command of the agent takes these arguments. */
async function expectAccepted([name = "", ...args]: readonly string[]): Promise<void> {
  const manual = (await allManuals(COMMANDS)).find((one) => one.name === name);
  const parsed = parseFlags(manual === undefined ? {} : allFlags(manual), args, "anywhere");
  expect(parsed).not.toMatchObject({ kind: "error" });
}

describe.skipIf(missing !== undefined)("the chart's hooks", () => {
  test("validate what the ConfigMap will have, with the agent's flags", async () => {
    const { documents, hooks } = await render(VALUES);
    const { "validate.yaml": copy = null, "validate.yaml Job": job = null } = hooks;
    expect(at(copy, "data.config")).toBe(at(documents["configmap.yaml"] ?? null, "data.config"));
    const args = at(job, "spec.template.spec.containers.0.args") as string[];
    expect(args).toEqual([
      "validate",
      "--no-adopt",
      "--strict",
      "--backend=nftables",
      "--enable-ipv6",
      "--ipset-threshold=1000000",
      "--nomasq-all-reserved-ranges=true",
      "--cluster-cidr=10.244.0.0/16,fd00::/48",
      "/etc/config/ip-masq-agent",
    ]);
    await expectAccepted(args);
    expect(at(job, "spec.template.spec.volumes.0.configMap.name")).toBe(at(copy, "metadata.name"));
    for (const document of Object.values(hooks)) validateObject(document);
  });

  test("come before what they validate, and again from the same values as they were", async () => {
    const { hooks } = await render(VALUES);
    expect((await render(VALUES)).hooks).toEqual(hooks);
    const of = (name: string) => at(hooks[name] ?? null, "metadata.annotations") as Record<string, string>;
    expect(of("validate.yaml")).toMatchObject({ "helm.sh/hook": "pre-install,pre-upgrade" });
    expect(of("validate.yaml Job")).toMatchObject({ "helm.sh/hook": "pre-install,pre-upgrade" });
    const weights = ["validate.yaml", "validate.yaml Job"].map((name) =>
      Number(of(name)["helm.sh/hook-weight"]),
    );
    expect(weights).toEqual(weights.toSorted((a, b) => a - b));
    expect(Math.max(...weights)).toBeLessThan(0);
  });

  test("validate nothing where there is no text, or where that is not wanted; errors alone, if asked", async () => {
    expect(await jobOf({})).toBeNull();
    expect(await jobOf({ config: { inline: INLINE, validate: "none" } })).toBeNull();
    const job = await jobOf({ config: { inline: INLINE, validate: "errors" } });
    expect(at(job, "spec.template.spec.containers.0.args")).not.toContain("--strict");
  });

  test("the Job is fit for a namespace with Pod Security restricted, and has an account that is there before", async () => {
    const values = {
      config: { inline: INLINE },
      nodeSelector: { pool: "empty" },
      affinity: { nodeAffinity: {} },
    };
    const spec = at(await jobOf(values), "spec.template.spec");
    expect(spec).not.toHaveProperty("affinity");
    expect(at(spec, "nodeSelector")).toEqual({ "kubernetes.io/os": "linux" });
    expect(spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [{ securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } }],
    });
    for (const field of ["hostNetwork", "serviceAccountName"]) expect(spec).not.toHaveProperty(field);
    const accountOf = async (serviceAccount: object) =>
      at(await jobOf({ config: { inline: INLINE }, serviceAccount }), "spec.template.spec");
    expect(await accountOf({ create: true, name: "masq" })).not.toHaveProperty("serviceAccountName");
    expect(await accountOf({ create: false, name: "masq" })).toMatchObject({ serviceAccountName: "masq" });
  });

  test("the test has the agent's rights, configuration and flags, and asks it only where it answers", async () => {
    const more = { httpAddress: "$(HOST_IP):10279", extraArgs: ["-masq-chain=IP-MASQ", "-v=2"] };
    const { documents, hooks } = await render({ ...VALUES, ...more });
    const agent = at(documents["daemonset.yaml"] ?? null, "spec.template.spec");
    const spec = at(hooks["tests/rules.yaml"] ?? null, "spec");
    const [diff = null] = at(spec, "containers") as Plain[];
    expect(at(spec, "volumes")).toEqual(at(agent, "volumes"));
    for (const field of ["securityContext", "volumeMounts"])
      expect(at(diff, field)).toEqual(at(agent, `containers.0.${field}`));
    const status = at(spec, "initContainers.0");
    expect(at(status, "args")).toEqual(["status", "--http-address=$(HOST_IP):10279", "-masq-chain=IP-MASQ"]);
    expect(at(status, "env.0.name")).toBe("HOST_IP");
    expect(at(diff, "args")).toEqual([
      "diff",
      "--backend=nftables",
      "--enable-ipv6",
      "--ipset-threshold=1000000",
      "--nomasq-all-reserved-ranges=true",
      "--random-fully=false",
      "-masq-chain=IP-MASQ",
    ]);
    for (const one of [diff, status]) await expectAccepted(at(one, "args") as string[]);
    const silent = await render({ httpAddress: "" });
    expect(at(silent.hooks["tests/rules.yaml"] ?? null, "spec")).not.toHaveProperty("initContainers");
  });
});

/**
 * The chart on a real cluster, by Helm: installed, compared, refused, upgraded, rolled back, with a second release, tested and removed.
 * Part of `make e2e`; the parts go on from where the one before has ended.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attempt } from "../lab/command.ts";
import { parseManifest } from "../lab/manifest.ts";
import { eventually } from "../lab/network/lab.ts";
import { changeChart, copyForAnyCluster, imageValues } from "./chart.ts";
import { type Cluster, hasHelm, missingVariables, openCluster } from "./cluster.ts";
import { provideImage } from "./images.ts";
import * as see from "./observe.ts";

const { E2E } = process.env;
const SYSTEM = "--namespace=kube-system";
const WAIT = [SYSTEM, "--wait", "--timeout=3m"];
const RELEASE = "ip-masq-agent";

let cluster: Cluster;
let chart: string;
let values: readonly string[];
let image: string;

async function helm(...args: readonly string[]): Promise<string> {
  if (cluster.helm === undefined) throw new Error("HELM names no command line");
  return cluster.helm(...args);
}

/** `--set` of a list; with a second one, more values. */
function list(cidr: string, ...more: readonly string[]): readonly string[] {
  return [...values, `--set=config.inline.nonMasqueradeCIDRs={${cidr}}`, ...more];
}

/** The objects of the release as GitOps tools apply them, compared with those in the cluster: what would change. */
async function differences(...args: readonly string[]): Promise<string> {
  const stdin = await helm("template", RELEASE, chart, SYSTEM, "--no-hooks", ...args);
  const [file = "", ...prefix] = cluster.prefix;
  const { code, stdout, stderr } = await attempt(file, [...prefix, "diff", "--filename=-"], {
    stdin,
    env: process.env,
  });
  if (code !== 0 && code !== 1) throw new Error(stderr);
  return stdout;
}

function rules(): Promise<string> {
  return cluster.onNode("iptables", "-t", "nat", "-S", "IP-MASQ-AGENT");
}

async function agentPods(): Promise<string> {
  const query = ["get", "pods", SYSTEM, "--selector=k8s-app=ip-masq-agent"];
  return cluster.kubectl(...query, "--output=jsonpath={.items[*].metadata.uid}");
}

const tried = E2E === "1" && missingVariables().length === 0 && hasHelm();
if (E2E === "1" && !tried) console.warn("NOT TESTED: the chart on a cluster: HELM names no command line");

describe.skipIf(!tried)("the chart, by Helm", { timeout: 300_000 }, () => {
  beforeAll(async () => {
    cluster = await openCluster();
    image = await provideImage(cluster);
    values = imageValues(image);
    chart = copyForAnyCluster();
  }, 900_000);
  afterAll(async () => {
    if (chart !== undefined) rmSync(join(chart, ".."), { recursive: true });
    for (const name of [RELEASE, "gpu"])
      await cluster?.helm?.("uninstall", name, SYSTEM, "--ignore-not-found");
  }, 120_000);

  test("refuses to install a list with host bits, and makes nothing", async () => {
    const failed = helm("install", RELEASE, chart, ...WAIT, ...list("10.1.2.0/8"));
    await expect(failed).rejects.toThrow(/pre-install hooks failed|failed pre-install/);
    const log = await cluster.kubectl("logs", SYSTEM, "job/ip-masq-agent-validate");
    expect(log).toContain("10.1.2.0/8 has host bits: did you mean 10.0.0.0/8?");
    expect(await agentPods()).toBe("");
    await helm("uninstall", RELEASE, SYSTEM);
  });

  test("installs, with the first rules in force, and leaves no hook behind", async () => {
    await helm("install", RELEASE, chart, ...WAIT, ...list("10.0.0.0/8"));
    // Helm waits for all but maxUnavailable, which is one node in a cluster of one.
    await see.rolledOut(cluster);
    expect(await rules()).toContain("-d 10.0.0.0/8");
    expect(await cluster.kubectl("get", "jobs", SYSTEM, "--output=name")).toBe("");
    await helm("test", RELEASE, SYSTEM, "--timeout=2m");
  });

  test("nothing is left to change after an apply", async () => {
    expect(await differences(...list("10.0.0.0/8"))).toBe("");
    expect(await differences(...list("10.0.0.0/9"))).toContain("10.0.0.0/9");
  });

  test("a bad list fails the upgrade, and no node sees it", async () => {
    const before = await rules();
    const failed = helm("upgrade", RELEASE, chart, ...WAIT, ...list("10.1.2.0/8"));
    await expect(failed).rejects.toThrow(/pre-upgrade hooks failed|failed pre-upgrade/);
    expect(await differences(...list("10.0.0.0/8"))).toBe("");
    expect(await rules()).toBe(before);
  });

  test("a new version of the chart alone restarts no agent", async () => {
    const before = await agentPods();
    changeChart(chart, /^version: .*$/m, "version: 9.9.9");
    await helm("upgrade", RELEASE, chart, ...WAIT, ...list("10.0.0.0/8"));
    await see.rolledOut(cluster);
    expect(await agentPods()).toBe(before);
  });

  test("upgrades to all that the chart can make here, and rolls back", async () => {
    const more = [
      "--set=config.watch=true",
      "--set=httpAddress=$(HOST_IP):10279",
      "--set=commonLabels.team=network",
    ];
    const all = list("10.0.0.0/9", ...more, "--set=monitoring.dashboard.enabled=true");
    await helm("upgrade", RELEASE, chart, ...WAIT, ...all);
    await see.rolledOut(cluster);
    expect(await rules()).toContain("-d 10.0.0.0/9");
    expect(await differences(...all)).toBe("");
    await helm("test", RELEASE, SYSTEM, "--timeout=2m");
    await helm("rollback", RELEASE, ...WAIT);
    await see.rolledOut(cluster);
    // The kubelet may show a new pod the text that it still knows.
    await eventually(async () => expect(await rules()).toContain("-d 10.0.0.0/8"), 120_000);
    expect(await differences(...list("10.0.0.0/8"))).toBe("");
  });

  test("a second release for another pool of nodes takes nothing from the first", async () => {
    const pool = ["--set=nodeSelector.pool=gpu", "--set=config.watch=true"];
    await helm("install", "gpu", chart, ...WAIT, ...list("172.16.0.0/12", ...pool));
    const sets = await cluster.kubectl("get", "daemonsets,configmaps", SYSTEM, "--output=name");
    expect(sets).toContain("daemonset.apps/gpu-ip-masq-agent\n");
    expect(sets).toContain("configmap/gpu-ip-masq-agent\n");
    expect(sets).toContain("configmap/ip-masq-agent\n");
    expect(await differences(...list("10.0.0.0/8"))).toBe("");
    await helm("uninstall", "gpu", SYSTEM);
    expect(await rules()).toContain("-d 10.0.0.0/8");
  });

  test("uninstalled, it leaves the rules, which the clean-up removes", async () => {
    await helm("uninstall", RELEASE, SYSTEM);
    await see.agentGone(cluster);
    expect(await rules()).toContain("-d 10.0.0.0/8");
    expect(await cluster.kubectl("get", "all,configmaps", SYSTEM, "--output=name")).not.toContain("ip-masq");
    const text = readFileSync("deploy/cleanup.yaml", "utf8").replaceAll(
      /image: ip-masq-agent:\S+/g,
      `image: ${image}`,
    );
    await cluster.send("create", parseManifest(Buffer.from(text), "cleanup.yaml") as object);
    await cluster.kubectl("rollout", "status", SYSTEM, "daemonset/ip-masq-agent-cleanup", "--timeout=120s");
    await cluster.kubectl("delete", SYSTEM, "daemonset", "ip-masq-agent-cleanup");
    expect(await see.leftOnNode(cluster)).toBe("");
  });
});

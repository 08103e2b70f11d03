/**
 * From nothing to verified rules by the README's words alone, in each of its three ways, as if a release had been published; the
 * same for an upgrade and for the removal. Names and addresses are replaced by one table (rehearsed.ts), every other word is run
 * unchanged. It takes two rehearsals of a release, so it waits to be asked: E2E_WAYS=1 make e2e. One node, which has to find this
 * machine's files and programs, as one in namespaces of this machine does: registries are on its loopback, where containerd asks for
 * no certificate.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sh } from "../image/container.ts";
import { attempt } from "../lab/command.ts";
import { eventually } from "../lab/network/lab.ts";
import { type Cluster, missingVariables, openCluster } from "./cluster.ts";
import { installWays, kubectlLines } from "./guide.ts";
import { type Journal, openJournal } from "./journal.ts";
import * as see from "./observe.ts";
import { type Published, publish, type Table } from "./rehearsed.ts";

const { E2E, E2E_WAYS, HELM = "helm", ON_NODE = "", KUBECTL = "kubectl" } = process.env;
const asked = E2E === "1" && E2E_WAYS === "1";
const OLD = "0.0.9";
const { version: NEW } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
/** From nothing, in seconds. */
const LIMIT = 300;

const { ways, check } = installWays("README.md");
const names = (way: readonly string[]) => way[0]?.split(" ").slice(0, 2).join(" ") ?? "";

let cluster: Cluster;
let journal: Journal;
let before: Published;
let now: Published;
let work = "";

describe.skipIf(!asked)("by the README's words", { timeout: 600_000 }, () => {
  beforeAll(async () => {
    const missing = missingVariables();
    if (missing.length > 0) throw new Error(`set ${missing.join(" and ")}: see test/README.md`);
    cluster = await openCluster();
    work = mkdtempSync(join(tmpdir(), "ip-masq-agent-ways-"));
    expect(await see.leftOnNode(cluster)).toBe("");
    journal = openJournal("build/e2e-ways.log");
    sh("test/image/base.sh");
    const onNode = ON_NODE.split(" ");
    before = await publish(cluster, onNode, OLD, 5810);
    now = await publish(cluster, onNode, NEW, 5820);
    journal.note(`rehearsed v${OLD}, which is this tree under that number, and v${NEW}`);
  }, 900_000);

  afterAll(async () => {
    await cluster?.kubectl(
      "delete",
      "daemonset",
      "--namespace=kube-system",
      "--ignore-not-found",
      "ip-masq-agent",
    );
    await before?.close();
    await now?.close();
    if (work !== "") rmSync(work, { recursive: true });
  }, 240_000);

  test.each(ways.map((way) => [names(way), way] as const))("%s", async (name, way) => {
    const start = performance.now();
    await type([...way, ...check], now.table, now.checkout);
    const took = (performance.now() - start) / 1000;
    await expectRules();
    journal.note(`${name}: ${took.toFixed(1)} s from nothing to verified rules`);
    expect(took).toBeLessThan(LIMIT);
    expect(await see.inAgent(cluster, "ip-masq-agent", "version")).toContain(`v${NEW} `);
    if (name === "helm install") {
      await type(["helm uninstall ip-masq-agent --namespace kube-system"], now.table, work);
      await see.agentGone(cluster);
      await removeRules();
    } else await remove();
  });

  test("the upgrade from the version before writes nothing, and the removal leaves nothing", async () => {
    const [manifest = []] = ways;
    await type([...manifest, ...check], before.table, before.checkout);
    expect(await see.inAgent(cluster, "ip-masq-agent", "version")).toContain(`v${OLD} `);
    const rules = await chain();
    const start = performance.now();
    const lines = kubectlLines("docs/install.md", "Another version");
    const filled: Table = [["REGISTRY/ip-masq-agent:VERSION", `${now.registry}/ip-masq-agent:v${NEW}`]];
    await type(lines, filled, work);
    const took = (performance.now() - start) / 1000;
    journal.note(`upgrade: ${took.toFixed(1)} s`);
    expect(took).toBeLessThan(LIMIT);
    expect(await see.inAgent(cluster, "ip-masq-agent", "version")).toContain(`v${NEW} `);
    expect(await see.agentLog(cluster)).toContain("is in force already");
    expect(await chain()).toBe(rules);
    await remove();
  });
});

/** Runs lines in one shell, as a reader does who sets REGISTRY and URL first. */
async function type(lines: readonly string[], table: Table, directory: string): Promise<void> {
  const text = table.reduce(
    (all, [from, to]) => all.replaceAll(from, to),
    [...variables(), ...lines].join("\n"),
  );
  const functions = [`kubectl() { command ${KUBECTL} "$@"; }`, `helm() { command ${HELM} "$@"; }`];
  const script = ["set -eo pipefail", ...functions, `cd '${directory}'`, text].join("\n");
  const env = { ...process.env, PUSH_FLAGS: "--tls-verify=false", CONTAINER_TOOL: "buildah" };
  const { code, stdout, stderr } = await attempt("bash", ["-c", script], { env });
  if (code !== 0) throw new Error(`${lines.join("\n")}\n${code}: ${stderr}${stdout}`);
  journal.note(lines.join("\n         "));
}

/** The first block of the README's part about installing: the names that a reader sets. */
function variables(): readonly string[] {
  return readFileSync("README.md", "utf8").match(/^(?:REGISTRY|URL)=.*$/gm) ?? [];
}

function chain(): Promise<string> {
  return cluster.onNode("iptables", "-t", "nat", "-S", "IP-MASQ-AGENT");
}

/** The node's own tool finds the rules, and a jump to them. */
async function expectRules(): Promise<void> {
  const rules = await chain();
  for (const kept of ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])
    expect(rules).toContain(`-d ${kept} `);
  expect(rules).toMatch(/-j MASQUERADE/);
  expect(await cluster.onNode("iptables", "-t", "nat", "-S", "POSTROUTING")).toContain("-j IP-MASQ-AGENT");
}

async function remove(): Promise<void> {
  await type(kubectlLines("docs/install.md", "The agents"), [], work);
  await see.agentGone(cluster);
  await removeRules();
}

/** The operator has written the image into deploy/cleanup.yaml: the release's has it. */
async function removeRules(): Promise<void> {
  mkdirSync(join(work, "deploy"), { recursive: true });
  const file = readFileSync(join(now.checkout, "dist/release/assets/cleanup.yaml"));
  writeFileSync(join(work, "deploy/cleanup.yaml"), file);
  await type(kubectlLines("docs/install.md", "The rules"), [], work);
  await eventually(async () => expect(await see.leftOnNode(cluster)).toBe(""), 30_000);
}

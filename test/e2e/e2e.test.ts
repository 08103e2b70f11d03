/**
 * The agent on a real cluster, from its installation to its removal, as the documents tell it: `make e2e`. The parts go on
 * from where the one before has ended; the first that fails ends the whole.
 *
 * test/README.md says how to name a cluster. It must not be one in use: the tests flush rules of its node.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command } from "../lab/command.ts";
import { at, parseManifest, readManifest } from "../lab/manifest.ts";
import { eventually, familyOf } from "../lab/network/lab.ts";
import { kustomizeTool } from "../lab/tool.ts";
import { installChart, stageByChart } from "./chart.ts";
import { type Cluster, missingVariables, openCluster } from "./cluster.ts";
import { applyWithNodeDown, askHollowNodes, type FleetWorld } from "./fleet.ts";
import { type Guide, installWays, kubectlLines, openGuide } from "./guide.ts";
import { type Images, provideImages } from "./images.ts";
import { type Journal, openJournal } from "./journal.ts";
import * as see from "./observe.ts";
import {
  CORPORATE,
  CORPORATE6,
  INTERNET,
  INTERNET6,
  NAMESPACE,
  openStage,
  PARTNER,
  type Stage,
} from "./stage.ts";
import { forgetTexts, stageTexts } from "./staged.ts";

const { E2E, E2E_EDITS = "8", E2E_PLAIN_EDITS = "0" } = process.env;
const SYSTEM = "--namespace=kube-system";
const CHAIN_STANDS = "iptables -t nat -S IP-MASQ-AGENT >/dev/null 2>&1";
const COUNT_RULES = 'iptables -t nat -S IP-MASQ-AGENT 2>/dev/null | grep -cF -- "$1"';
const USUAL = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
/** Where the partner is. */
const ADDED = "198.51.100.0/24";

if (E2E !== "1") console.warn("SKIPPED: the agent is tried on a cluster by `make e2e` (E2E=1)");

let cluster: Cluster;
let journal: Journal;
let images: Images;
let stage: Stage;
let guide: Guide;

/** The ConfigMap's new text; `soon` makes the kubelet bring it within a second instead of a minute or two. */
async function configure(text: string, { soon = true } = {}): Promise<void> {
  writeFileSync(join(guide.directory, "agent-config/config"), text);
  const [edit = "", hurry = ""] = kubectlLines("docs/configure.md", "Change it safely");
  await guide.type(edit);
  if (soon) await guide.type(hurry);
}

function listOf(cidrs: readonly string[]): string {
  return `nonMasqueradeCIDRs:\n${cidrs.map((cidr) => `  - ${cidr}\n`).join("")}`;
}

async function expectVerdicts(verdicts: Readonly<Record<string, "keeps" | "masqueraded">>): Promise<void> {
  for (const [destination, verdict] of Object.entries(verdicts))
    for (const protocol of ["tcp", "udp"] as const)
      expect(await stage.ask(protocol, destination), `${protocol} ${destination}`).toBe(
        (verdict === "keeps" ? stage.pod : stage.nodeAddress)[familyOf(destination)],
      );
}

/** Does something while flows are made, none of which may be wrong. */
async function undisturbed(what: string, act: () => Promise<unknown>): Promise<void> {
  const watch = see.watchVerdicts(stage);
  const start = performance.now();
  try {
    await act();
  } finally {
    const { flows, wrong } = await watch.stop();
    const took = ((performance.now() - start) / 1000).toFixed(1);
    journal.note(`${what}: ${took} s, ${flows} flows, ${wrong.length} with a wrong address`);
    expect(wrong).toEqual([]);
    expect(flows).toBeGreaterThan(100);
  }
}

describe.skipIf(E2E !== "1")("on a cluster", { timeout: 900_000 }, () => {
  beforeAll(async () => {
    const missing = missingVariables();
    if (missing.length > 0) throw new Error(`set ${missing.join(" and ")}: see test/README.md`);
    cluster = await openCluster();
    // Foreign objects stay at the end, too.
    expect(await cluster.kubectl("get", "daemonsets", "-A", "--output=name")).not.toContain("ip-masq-agent");
    expect(await see.leftOnNode(cluster)).toBe("");
    journal = openJournal("build/e2e.log");
    const version = await cluster.kubectl("version", "--output=json");
    const { serverVersion } = JSON.parse(version) as { serverVersion: { gitVersion: string } };
    journal.note(`node ${cluster.node}, Kubernetes ${serverVersion.gitVersion}`);
    images = await provideImages(cluster);
    journal.note(`loaded ${images.old}`);
    stage = await openStage(cluster, images.old);
    const peers = stage.peers.map(({ node, pod }) => `${pod} on ${node}`).join(", ");
    journal.note(`pods ${Object.values(stage.pod).join(" ")} ask, and ${peers || "no other node's"}`);
    guide = openGuide(cluster, images.old, async () => ({
      POD: await see.agentPod(cluster),
      NODE: cluster.node,
      "REGISTRY/ip-masq-agent:VERSION": images.next,
    }));
  }, 900_000);

  afterAll(async () => {
    journal?.close();
    await stage?.close();
    if (guide === undefined) return;
    await tidy();
    guide.close();
  }, 240_000);

  // Otherwise something else masquerades here, and what follows would prove nothing.
  test("without an agent, pods are known by their own address", async () => {
    await expectVerdicts({ [INTERNET]: "keeps", [CORPORATE]: "keeps" });
    if (stage.hasIpv6) await expectVerdicts({ [INTERNET6]: "keeps", [CORPORATE6]: "keeps" });
  });

  test("kubectl debug says on a node what an agent would meet there", async () => {
    const lines = kubectlLines("docs/platforms.md", "Trial on one node");
    if (!(await cluster.kubectl("debug", "--help")).includes("sysadmin")) {
      journal.note(
        "docs/platforms.md, Trial on one node, is not followed: this kubectl has no profile sysadmin",
      );
      for (const line of lines) guide.leaveOut(line);
      return;
    }
    const answers: string[] = [];
    for (const line of lines) answers.push(await guide.type(line));
    expect(answers[0]).toContain("no agent runs here");
    expect(answers[1]).toContain("8.8.8.8: keeps the pod's address");
  });

  test("it is installed as docs/install.md says, and makes the rules", async () => {
    const created = await see.nodeTime(cluster);
    const rules = see.whenOnNode(cluster, CHAIN_STANDS);
    await guide.follow("docs/install.md", "By manifest");
    const ready = await see.nodeTime(cluster);
    const started = await see.processStart(cluster);
    journal.figure("DaemonSet created to the agent's process started", started - created);
    journal.figure("process started to rules on the node", (await rules) - started);
    journal.figure("process started to roll-out done", ready - started);
    await expectVerdicts({ [INTERNET]: "masqueraded", [CORPORATE]: "keeps", [PARTNER]: "masqueraded" });
  });

  test("it says what it does, as the documents tell how to ask", async () => {
    await guide.follow("docs/README.md");
    await guide.follow("docs/configure.md", "The pods' own networks");
    await guide.follow("docs/doctor.md");
    await guide.follow("docs/troubleshoot.md");
    await guide.follow("docs/migrate.md");
    for (const answer of await see.inEveryAgent(cluster, "ip-masq-agent", "diff"))
      expect(answer).toContain("no difference");
    const explained = await see.inAgent(
      cluster,
      "ip-masq-agent",
      "explain",
      "--live",
      `--source=${stage.pod.IPv4}`,
      INTERNET,
      CORPORATE,
    );
    expect(explained).toContain(`${INTERNET}: masqueraded`);
    expect(explained).toContain(`${CORPORATE}: keeps the pod's address`);
  });

  test("every node decides about its own pods", async () => {
    if (stage.peers.length === 0) return journal.note("there is one node only");
    for (const { ask, pod } of stage.peers) expect(await ask("tcp")).toBe(pod);
    await configure(`${listOf(USUAL)}masqueradeCIDRs:\n  - ${stage.host}/32\n`);
    await eventually(async () => {
      for (const rules of await see.inEveryAgent(cluster, "iptables", "-t", "nat", "-S", "IP-MASQ-AGENT"))
        expect(rules).toContain(`${stage.host}/32`);
    }, 180_000);
    for (const { ask, nodeAddress } of stage.peers)
      for (const protocol of ["tcp", "udp"] as const) expect(await ask(protocol)).toBe(nodeAddress);
    await configure(listOf(USUAL));
  });

  test("kubectl ip-masq asks and configures all nodes", async () => {
    await guide.follow("docs/fleet.md");
    expect(await guide.type("kubectl ip-masq status")).toMatch(/^(\d+) of \1 nodes follow it/m);
    const asked = `kubectl ip-masq explain -n ${NAMESPACE} client ${INTERNET}:443 ${CORPORATE}`;
    const explained = await guide.type(asked);
    expect(explained).toContain(`${INTERNET}:443: masqueraded`);
    expect(explained).toContain(`${CORPORATE}: keeps the pod's address`);
    const { write } = fleet();
    write("nonMasqueradeCIDRs: [10.1.0.0/8]");
    await expect(guide.type("kubectl ip-masq apply --yes edited")).rejects.toThrow("nothing was written");
    write(listOf([...USUAL, ADDED]));
    await guide.type("kubectl ip-masq apply --yes edited");
    await expectVerdicts({ [PARTNER]: "keeps" });
    await guide.type("kubectl ip-masq apply --rollback --yes");
    await expectVerdicts({ [PARTNER]: "masqueraded" });
    for (const command of ["doctor", "ports", "report"])
      await guide.type(`kubectl ip-masq ${command} --node NODE >/dev/null || [ $? = 1 ]`);
    await refuseAtTheDoor();
  });

  test("kubectl ip-masq has an answer in time where nodes have none", async () => {
    await askHollowNodes(fleet(), listOf(USUAL));
    await expectVerdicts({ [INTERNET]: "masqueraded", [PARTNER]: "masqueraded" });
    await applyWithNodeDown(fleet(), listOf([...USUAL, ADDED]));
    await configure(listOf(USUAL));
  });

  test("an edited ConfigMap changes rules and the verdict of packets", async () => {
    const edits = [
      ...Array.from({ length: Number(E2E_EDITS) }, () => true),
      ...Array.from({ length: Number(E2E_PLAIN_EDITS) }, () => false),
    ];
    for (const [index, soon] of edits.entries()) {
      const isAdded = index % 2 === 0;
      const edited = await see.nodeTime(cluster);
      await configure(listOf(isAdded ? [...USUAL, ADDED] : USUAL), { soon });
      const condition = `[ "$(${COUNT_RULES})" = ${isAdded ? 1 : 0} ]`;
      const changed = await see.whenOnNode(cluster, condition, ADDED);
      const brought = await see.volumeTime(cluster);
      const how = soon ? "ConfigMap edited, pod annotated" : "ConfigMap edited";
      journal.figure(`${how}, to the kubelet's having brought it`, brought - edited);
      journal.figure("the kubelet's having brought it to rules on the node", changed - brought);
      await expectVerdicts({ [INTERNET]: "masqueraded", [PARTNER]: isAdded ? "keeps" : "masqueraded" });
    }
  });

  test("a bad ConfigMap changes only the log; deleted rules come back nevertheless", async () => {
    await configure("nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n");
    await eventually(
      async () => expect(await see.agentLog(cluster)).toMatch(/ip-masq-agent:2:5: nonMasqueradeCIDRs\[0\]:/),
      180_000,
    );
    await expect(see.inAgent(cluster, "ip-masq-agent", "status")).rejects.toThrow();
    await expectVerdicts({ [INTERNET]: "masqueraded", [CORPORATE]: "keeps" });
    await see.rolledOut(cluster);

    await cluster.onNode("iptables", "-t", "nat", "-F", "IP-MASQ-AGENT");
    const flushed = await see.nodeTime(cluster);
    const healed = await see.whenOnNode(cluster, `[ "$(${COUNT_RULES})" = 1 ]`, "192.168.0.0/16");
    journal.figure("chain flushed to rules on the node (as seen from outside)", healed - flushed);
    expect(await see.agentLog(cluster)).toMatch(/healed: .*changed by iptables/);
    await expectVerdicts({ [INTERNET]: "masqueraded", [CORPORATE]: "keeps" });

    await configure(listOf(USUAL));
    await eventually(
      async () => expect(await see.agentLog(cluster)).toContain("the configuration is good again"),
      180_000,
    );
  });

  test("the largest ConfigMap is programmed within the manifest's memory limit", async () => {
    const size = 1024 * 1024 - 4096;
    const entries = Array.from(
      { length: 60_000 },
      (_, i) => `100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`,
    );
    const text = `cidrLimit: 100000\n${listOf([...USUAL, ADDED, ...entries])}`.slice(0, size);
    const before = await see.nodeTime(cluster);
    await configure(text.slice(0, text.lastIndexOf("\n") + 1));
    await eventually(async () => expect(await stage.ask("tcp", PARTNER)).toBe(stage.pod.IPv4), 240_000);
    const brought = await see.volumeTime(cluster);
    const now = await see.nodeTime(cluster);
    journal.figure("ConfigMap of 1 MiB: brought to verdict", now - brought);
    journal.note(`ConfigMap of 1 MiB: ${((now - before) / 1000).toFixed(1)} s in all`);
    await expectVerdicts({ [INTERNET]: "masqueraded", [CORPORATE]: "keeps" });
    expect(await see.restarts(cluster)).toBe(0);
    const peak = `for (const f of ["memory/memory.max_usage_in_bytes", "memory.peak"])
      try { console.log(fs.readFileSync("/sys/fs/cgroup/" + f, "utf8")) } catch {}`;
    const bytes = Number(await see.inAgent(cluster, "node", "--eval", peak));
    if (bytes > 0)
      journal.note(`ConfigMap of 1 MiB: memory peak of the container ${(bytes / 2 ** 20).toFixed(0)} MiB`);
    await configure(listOf(USUAL));
    await see.whenOnNode(cluster, `[ "$(${COUNT_RULES})" = 1 ]`, "192.168.0.0/16");
    await expectVerdicts({ [PARTNER]: "masqueraded" });
  });

  test("a pod that is deleted, and a process that is killed, are replaced without a packet treated wrongly", async () => {
    await undisturbed("pod deleted and replaced", async () => {
      await cluster.kubectl("delete", SYSTEM, "pod", await see.agentPod(cluster));
      await see.rolledOut(cluster);
    });
    expect(await see.agentLog(cluster)).toContain("is in force already");
    await undisturbed("process killed and started again", async () => {
      await cluster.onNode("pkill", "-KILL", "-f", "bin/ip-masq-agent$");
      await eventually(async () => expect(await see.restarts(cluster)).toBe(1), 60_000);
      await see.rolledOut(cluster);
    });
    expect(await see.agentLog(cluster)).toContain("is in force already");
  });

  test("the next version, and another backend, take over without a packet treated wrongly; and back", async () => {
    await images.nextIsThere;
    await undisturbed("next version", () => guide.follow("docs/install.md", "Another version"));
    expect(await see.inAgent(cluster, "ip-masq-agent", "version")).toContain(images.next.split(":").at(-1));
    expect(await see.agentLog(cluster)).toContain("is in force already");

    const args = [
      { op: "add", path: "/spec/template/spec/containers/0/args", value: ["--backend=nftables"] },
    ];
    await undisturbed("backend nftables", async () => {
      await cluster.kubectl(
        "patch",
        SYSTEM,
        "daemonset",
        "ip-masq-agent",
        "--type=json",
        `--patch=${JSON.stringify(args)}`,
      );
      await see.rolledOut(cluster);
    });
    await eventually(
      async () => expect(await see.leftOnNode(cluster)).toBe("table inet ip-masq-agent"),
      30_000,
    );
    expect(await see.inAgent(cluster, "ip-masq-agent", "status")).toContain("nftables");

    await undisturbed("backend iptables again, by rollout undo", async () => {
      await guide.follow("docs/install.md", "Back");
      await see.rolledOut(cluster);
    });
    await eventually(async () => expect(await see.leftOnNode(cluster)).not.toContain("table inet"), 30_000);
  });

  test("what kustomize and the chart make works as well, and the rules stay meanwhile", async () => {
    const removeAgents = async () => {
      await cluster.kubectl("delete", SYSTEM, "daemonset", "ip-masq-agent");
      await see.agentGone(cluster);
    };
    await images.nextIsThere;
    guide.useImage(images.next);
    await undisturbed("overlay nftables instead", async () => {
      await removeAgents();
      await guide.follow("docs/install.md", "With kustomize");
      await see.rolledOut(cluster);
    });
    expect(await see.leftOnNode(cluster)).toBe("table inet ip-masq-agent");
    await undisturbed("overlay staged instead", async () => {
      await removeAgents();
      await stageTexts(cluster, guide, listOf([...USUAL, ADDED]), "nonMasqueradeCIDRs: [10.1.0.0/8]");
    });
    await expectVerdicts({ [PARTNER]: "keeps" });
    await undisturbed("overlay monitoring instead, its DaemonSet alone", async () => {
      await removeAgents();
      await cluster.send("apply", await daemonSetOf("deploy/kustomize/overlays/monitoring"));
      await see.rolledOut(cluster);
    });
    await forgetTexts(cluster);
    await guide.follow("docs/monitoring.md");
    const { helm } = cluster;
    if (helm === undefined) journal.note("the chart is not tried: HELM names no command line");
    else {
      await undisturbed("chart instead", async () => {
        await removeAgents();
        const said = await installChart(helm, images.next);
        const lines = said.split("\n").map((line) => line.trim());
        for (const line of lines.filter((line) => line.startsWith("kubectl "))) await guide.type(line);
        await followThroughApi();
      });
      await undisturbed("chart's texts in stages", () => stageByChart(helm, cluster, [...USUAL, ADDED]));
      await expectVerdicts({ [PARTNER]: "keeps" });
    }
    // The last one: its rules for IPv6 stay whatever comes after it, until the clean-up.
    await undisturbed("overlay ipv6 instead", async () => {
      if (helm === undefined) await removeAgents();
      else {
        await helm("uninstall", "ip-masq-agent", SYSTEM);
        await see.agentGone(cluster);
      }
      await guide.type("kubectl apply -k deploy/kustomize/overlays/ipv6");
      await see.rolledOut(cluster);
    });
    if (stage.hasIpv6) {
      await configure(listOf([...USUAL, "fd00::/8"]));
      await eventually(() => expectVerdicts({ [CORPORATE6]: "keeps" }), 60_000);
      await expectVerdicts({ [INTERNET6]: "masqueraded", [INTERNET]: "masqueraded" });
      // An agent without --enable-ipv6, as the README installs it next, would refuse the list.
      await configure(listOf(USUAL));
    } else journal.note("IPv6 is not tried: the pods have no address of it");
  });

  test("by the README's words alone, from nothing to rules in under five minutes, each way", async () => {
    const { ways, check } = installWays("README.md");
    for (const way of ways) {
      // Its chart has to be in a registry: ways.test.ts follows it.
      if (way.some((line) => line.startsWith("helm "))) continue;
      await guide.follow("docs/install.md", "The agents");
      await see.agentGone(cluster);
      await guide.follow("docs/install.md", "The rules");
      await expectVerdicts({ [INTERNET]: "keeps" });
      const start = performance.now();
      for (const line of [...way, ...check]) await guide.type(line);
      await expectVerdicts({ [INTERNET]: "masqueraded", [CORPORATE]: "keeps" });
      const took = (performance.now() - start) / 1000;
      journal.note(`README, ${way[0]}: ${took.toFixed(1)} s from nothing to rules`);
      expect(took).toBeLessThan(300);
    }
  });

  test("kubectl delete leaves the rules; the documented clean-up removes them", async () => {
    await undisturbed("agent deleted", async () => {
      await guide.follow("docs/install.md", "The agents");
      await see.agentGone(cluster);
    });
    expect(await see.leftOnNode(cluster)).toContain("IP-MASQ-AGENT");
    await guide.follow("docs/install.md", "The rules");
    expect(await see.leftOnNode(cluster)).toBe("");
    for (const { node, run } of stage.peers) expect(await see.leftOnNode(cluster, run), node).toBe("");
    await expectVerdicts({ [INTERNET]: "keeps", [CORPORATE]: "keeps" });
    await guide.follow("docs/install.md", "The rest");
  });

  test("no line of kubectl in the documents was left out", () => {
    expect(guide.remaining()).toEqual([]);
  });
});

/** What `kubectl ip-masq` is tried with. */
function fleet(): FleetWorld {
  return { cluster, guide, journal, write: (text) => writeFileSync(join(guide.directory, "edited"), text) };
}

/** Edits that the API server tells the agents of, on all nodes; its FlowSchema, by the name of its version that the cluster has. */
async function followThroughApi(): Promise<void> {
  const flow = readManifest("deploy/kustomize/components/api-watch/flow-schema.yaml") as object;
  const versions = await cluster.kubectl("api-versions");
  const [apiVersion = ""] = ["v1", "v1beta1"]
    .map((version) => `flowcontrol.apiserver.k8s.io/${version}`)
    .filter((name) => versions.split("\n").includes(name));
  await cluster.send("apply", { ...flow, apiVersion });
  const uid = await cluster.kubectl(
    "get",
    "flowschema",
    "ip-masq-agent",
    "--output=jsonpath={.metadata.uid}",
  );
  await eventually(
    async () => expect(await see.inAgent(cluster, "node", "--eval", ASK_API)).toContain(uid),
    60_000,
  );
  await cluster.kubectl("delete", "flowschema", "ip-masq-agent");
  for (const list of [[...USUAL, ADDED], USUAL]) {
    const edited = await see.nodeTime(cluster);
    await configure(listOf(list), { soon: false });
    const condition = `[ "$(${COUNT_RULES})" = ${list.length - USUAL.length} ]`;
    journal.figure(
      "ConfigMap edited, followed through the API server, to rules",
      (await see.whenOnNode(cluster, condition, ADDED)) - edited,
    );
  }
  expect(await guide.type("kubectl ip-masq status")).toMatch(/^(\d+) of \1 nodes follow it/m);
}

/** In an agent's pod, with its token: which FlowSchema has taken the request. */
const ASK_API = `
  const account = "/var/run/secrets/kubernetes.io/serviceaccount/";
  const read = (name) => fs.readFileSync(account + name, "utf8");
  const path = "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dip-masq-agent";
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  const headers = { authorization: "Bearer " + read("token") };
  https.get({ host, port, path, headers, ca: read("ca.crt") }, (answer) => {
    console.log(answer.statusCode, answer.headers["x-kubernetes-pf-flowschema-uid"]);
    answer.resume();
  });`;

/** The policy needs Kubernetes 1.31. */
async function refuseAtTheDoor(): Promise<void> {
  const [apply = ""] = kubectlLines("docs/configure.md", "Refuse bad edits");
  const kinds = await cluster.kubectl(
    "api-resources",
    "--api-group=admissionregistration.k8s.io",
    "--output=name",
  );
  if (!kinds.includes("validatingadmissionpolicies")) {
    journal.note("the policy in deploy/admission is not tried: this cluster has none");
    guide.leaveOut(apply);
    return;
  }
  await guide.type(apply);
  const bad = `kubectl -n kube-system patch configmap ip-masq-agent --type=merge -p '{"data":{"config":"nonMasqueradeCIDRs: [10.1.0.0/8]"}}'`;
  // A policy takes a moment to come into force; the edit is the same each time.
  await eventually(() => expect(guide.type(bad)).rejects.toThrow("did you mean 10.0.0.0/8?"), 60_000);
  await guide.type("kubectl delete -k deploy/admission");
  await configure(listOf(USUAL));
}

/** A test that has failed leaves what the removal would have removed. */
async function tidy(): Promise<void> {
  const workloads = ["daemonset/ip-masq-agent", "daemonset/ip-masq-agent-cleanup", "configmap/ip-masq-agent"];
  const rights = ["rolebinding/ip-masq-agent", "role/ip-masq-agent", "serviceaccount/ip-masq-agent"];
  await cluster.kubectl("delete", SYSTEM, "--ignore-not-found", ...workloads, ...rights);
  await forgetTexts(cluster);
  if ((await see.leftOnNode(cluster)) !== "")
    await guide.follow("docs/install.md", "The rules").catch(console.error);
}

/** An overlay's DaemonSet: what else there is may be of kinds that the cluster does not have. */
async function daemonSetOf(overlay: string): Promise<object> {
  const [tool = "", ...words] = kustomizeTool() ?? [];
  const text = await command(tool, [...words, join(guide.directory, overlay)]);
  const documents = text.split(/^---$/m).map((one) => parseManifest(Buffer.from(one), overlay));
  const found = documents.find((one) => at(one, "kind") === "DaemonSet");
  if (found === undefined) throw new Error(`${overlay} makes no DaemonSet`);
  return found as object;
}

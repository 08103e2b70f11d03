/**
 * Reports of nodes on a real cluster: Leases by the agents, read by `kubectl ip-masq status`, and the Event about a ConfigMap that is
 * refused. Part of `make e2e`; hollow nodes, whose pods run nothing, report nothing.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attempt, command } from "../lab/command.ts";
import { eventually } from "../lab/network/lab.ts";
import { kustomizeTool } from "../lab/tool.ts";
import { type Cluster, missingVariables, openCluster } from "./cluster.ts";
import { readyNodes } from "./fleet.ts";
import { provideImage } from "./images.ts";
import { type Journal, openJournal } from "./journal.ts";
import * as see from "./observe.ts";

const { E2E } = process.env;
const SYSTEM = "--namespace=kube-system";
/** Reports are spread over a minute. */
const SPREAD_MS = 90_000;

let cluster: Cluster;
let journal: Journal;
let manifests: string;
let nodes: readonly string[];

interface Lease {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly ownerReferences: readonly { readonly uid: string }[];
  };
}

async function leases(): Promise<readonly Lease[]> {
  const query = ["get", "leases", SYSTEM, "--selector=k8s-app=ip-masq-agent", "--output=json"];
  return (JSON.parse(await cluster.kubectl(...query)) as { items: Lease[] }).items;
}

/** Waits until all nodes' Leases have this state. */
async function expectAll(state: string): Promise<readonly Lease[]> {
  const start = performance.now();
  const found = await eventually(async () => {
    const all = await leases();
    const states = all.map(({ metadata }) => [metadata.name, metadata.labels["ip-masq-agent/state"]]);
    expect(Object.fromEntries(states)).toEqual(
      Object.fromEntries(nodes.map((node) => [`ip-masq-agent-${node}`, state])),
    );
    return all;
  }, SPREAD_MS);
  journal.figure(`reports: all nodes say ${state}`, performance.now() - start);
  return found;
}

const configMap = (config: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "ip-masq-agent", namespace: "kube-system" },
  data: { config },
});

/** What `kubectl ip-masq status` prints; it fails where not all nodes follow. */
async function status(): Promise<string> {
  const start = performance.now();
  const { stdout, stderr } = await attempt("sh", ["deploy/kubectl/kubectl-ip_masq", "status"], {
    env: { ...process.env, KUBECTL: join(manifests, "kubectl") },
  });
  journal.figure("kubectl ip-masq status, with reports", performance.now() - start);
  return stdout + stderr;
}

describe.skipIf(E2E !== "1" || missingVariables().length > 0)("reports", { timeout: 300_000 }, () => {
  beforeAll(async () => {
    cluster = await openCluster();
    journal = openJournal("build/e2e-report.log");
    const image = await provideImage(cluster);
    mkdirSync("build", { recursive: true });
    manifests = mkdtempSync(join(process.cwd(), "build/e2e-report-"));
    const components = ["nftables", "api-watch", "lease-report"].map(
      (name) => `../../deploy/kustomize/components/${name}`,
    );
    const overlay = { resources: ["../../deploy/kustomize/base"], components };
    writeFileSync(join(manifests, "kustomization.yaml"), JSON.stringify(overlay));
    writeFileSync(join(manifests, "kubectl"), `#!/bin/sh\nexec ${cluster.prefix.join(" ")} "$@"\n`, {
      mode: 0o755,
    });
    const [tool = "", ...words] = kustomizeTool() ?? [...cluster.prefix, "kustomize"];
    const built = (await command(tool, [...words, manifests])).replace(
      /image: \S*ip-masq-agent:\S+/,
      `image: ${image}`,
    );
    writeFileSync(join(manifests, "built.json"), built);
    const real = ["get", "nodes", "--selector=hollow!=true", "--output=jsonpath={.items[*].metadata.name}"];
    nodes = (await cluster.kubectl(...real)).trim().split(/\s+/);
  }, 900_000);
  afterAll(async () => {
    await cluster?.kubectl(
      "delete",
      SYSTEM,
      "--ignore-not-found",
      "daemonset/ip-masq-agent",
      "configmap/ip-masq-agent",
    );
    if (manifests !== undefined) {
      await command(
        cluster.prefix[0] ?? "",
        [...cluster.prefix.slice(1), "delete", "--ignore-not-found", "--filename=-"],
        {
          stdin: await command("cat", [join(manifests, "built.json")]),
        },
      );
      rmSync(manifests, { recursive: true });
    }
    journal?.close();
  }, 120_000);

  test("each node has a Lease that is its pod's, with the digest of the text that it follows", async () => {
    await cluster.send("apply", configMap("nonMasqueradeCIDRs: [10.0.0.0/8]\n"));
    const [file = "", ...prefix] = cluster.prefix;
    await command(file, [...prefix, "apply", "--filename=-"], {
      stdin: await command("cat", [join(manifests, "built.json")]),
    });
    await cluster.kubectl("rollout", "status", SYSTEM, "daemonset/ip-masq-agent", "--timeout=3m");
    const all = await expectAll("ok");
    const pods = [
      "get",
      "pods",
      SYSTEM,
      "--selector=k8s-app=ip-masq-agent",
      "--output=jsonpath={.items[*].metadata.uid}",
    ];
    const uids = (await cluster.kubectl(...pods)).split(/\s+/);
    for (const { metadata } of all) expect(uids).toContain(metadata.ownerReferences[0]?.uid);
    const digests = new Set(all.map(({ metadata }) => metadata.labels["ip-masq-agent/config"]));
    expect(digests.size).toBe(1);
    expect(await status()).toContain(`(digest ${[...digests][0]})`);
  });

  test("status reads Leases, and asks nobody who has one", async () => {
    const query = ["get", "nodes", "--selector=hollow=true", "--output=jsonpath={.items[*].metadata.name}"];
    const hollow = (await cluster.kubectl(...query)).split(/\s+/).filter((name) => name !== "");
    const [{ metadata } = expect.fail("no Lease")] = await leases();
    const written = hollow.map((node) => ({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: `ip-masq-agent-${node}`, namespace: "kube-system", labels: metadata.labels },
      spec: { holderIdentity: node },
    }));
    if (written.length > 0) await cluster.send("apply", ...written);
    const ready = await readyNodes(cluster);
    const following = nodes.length + hollow.filter((node) => ready.has(node)).length;
    expect(await status()).toContain(`${following} of ${nodes.length + hollow.length} nodes follow it`);
    for (const one of written) await cluster.kubectl("delete", SYSTEM, "lease", one.metadata.name);
  });

  test("a text that is refused is in the Leases, in status, and in one Event on the ConfigMap", async () => {
    const before = await leases();
    await cluster.send("apply", configMap("nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n"));
    const refused = await expectAll("refused");
    const why = /^configmap kube-system\/ip-masq-agent \(key config\):2:5: nonMasqueradeCIDRs\[0\]/;
    for (const { metadata } of refused) expect(metadata.annotations["ip-masq-agent/why"]).toMatch(why);
    expect(refused.map(({ metadata }) => metadata.labels["ip-masq-agent/config"])).toEqual(
      before.map(({ metadata }) => metadata.labels["ip-masq-agent/config"]),
    );
    expect(await status()).toMatch(new RegExp(`^refused +${nodes.length} +.*nonMasqueradeCIDRs\\[0\\]`, "m"));
    await eventually(async () => {
      const described = await cluster.kubectl("describe", SYSTEM, "configmap", "ip-masq-agent");
      const events = described.match(/ConfigRefused .*refused by some nodes: \(key config\):2:5: .*/g);
      expect(events).toHaveLength(1);
      journal.note(`kubectl describe configmap: ${events?.[0]}`);
    }, SPREAD_MS);
  });

  test("a good one is followed again, by one write for each node", async () => {
    const before = await leases();
    await cluster.send("apply", configMap("nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.2.0/24]\n"));
    const after = await expectAll("ok");
    for (const { metadata } of after) expect(metadata.annotations).not.toHaveProperty(["ip-masq-agent/why"]);
    expect(after.map(({ metadata }) => metadata.uid)).toEqual(before.map(({ metadata }) => metadata.uid));
    const script = 'fetch("http://127.0.0.1:10279/metrics").then(async (r) => console.log(await r.text()))';
    const metrics = await see.inAgent(cluster, "node", "--eval", script);
    const [, writes = ""] = /^ip_masq_agent_reports_total\{result="written"\} (\d+)$/m.exec(metrics) ?? [];
    // Three states, and the Event.
    expect(Number(writes)).toBeLessThanOrEqual(4);
    journal.note(`reports: ${writes} writes for 3 states and an Event`);
  });

  test("a token writes no Lease but its own node's, where the policy is known", async () => {
    const kinds = ["api-resources", "--api-group=admissionregistration.k8s.io", "--output=name"];
    if (!(await cluster.kubectl(...kinds)).includes("validatingadmissionpolicies")) {
      journal.note("the policy in deploy/admission is not tried: this cluster has none");
      return;
    }
    await cluster.kubectl("apply", "--filename=deploy/admission/report-policy.yaml");
    await cluster.kubectl("apply", "--filename=deploy/admission/report-binding.yaml");
    const write = (name: string) => `
      const { readFileSync: read } = require("fs"), at = "/var/run/secrets/kubernetes.io/serviceaccount/";
      const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
      const body = JSON.stringify({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: "${name}" } });
      const path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/${name}?fieldManager=e2e&dryRun=All";
      const headers = { authorization: "Bearer " + read(at + "token"), "content-type": "application/apply-patch+yaml" };
      require("https").request({ host, port, path, method: "PATCH", headers, ca: read(at + "ca.crt") }, (r) => console.log(r.statusCode)).end(body);`;
    const answer = async (name: string) => (await see.inAgent(cluster, "node", "--eval", write(name))).trim();
    // A policy takes a moment to come into force.
    await eventually(async () => expect(await answer("kube-scheduler")).toBe("422"), 60_000);
    expect(await answer("ip-masq-agent-elsewhere")).toBe("422");
    expect(await answer(`ip-masq-agent-${cluster.node}`)).toBe("200");
    await cluster.kubectl("delete", "--filename=deploy/admission/report-policy.yaml");
    await cluster.kubectl("delete", "--filename=deploy/admission/report-binding.yaml");
  });

  test("the Leases go with their pods", async () => {
    await cluster.kubectl("delete", SYSTEM, "daemonset/ip-masq-agent");
    await eventually(async () => expect(await leases()).toEqual([]), SPREAD_MS);
  });
});

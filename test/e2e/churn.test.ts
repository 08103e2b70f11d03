/**
 * Edits of the ConfigMap that agents follow through the API server, while agents, pods and the API server are restarted, the way between
 * them breaks, and kubelets bring the file when they like: no node may ever go back to an older text. It runs instead of the whole life:
 * `E2E_CHURN=300 make e2e`; SEED is the order of things. `nft monitor` on each node is the witness.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../lab/network/lab.ts";
import { generator } from "../lab/random.ts";
import { type Cluster, openCluster } from "./cluster.ts";
import { type Guide, openGuide } from "./guide.ts";
import { provideImage } from "./images.ts";
import { type Journal, openJournal } from "./journal.ts";
import * as see from "./observe.ts";
import { NAMESPACE, openStage, type Stage } from "./stage.ts";

const { E2E, E2E_CHURN = "0", SEED = "1" } = process.env;
const EDITS = E2E === "churn" ? Number(E2E_CHURN) : 0;
const SYSTEM = "--namespace=kube-system";
/** The kubelet waits ever longer before it starts a container again; a new pod begins from the start. */
const RESTARTS = 2;
/** The longest that a way is cut. */
const CUT_S = 40;
/** In the pod of a node's network: what `nft monitor` has said. */
const CHANGES = "/dev/shm/changes";
/** With iptables: of changes within a set of nftables `nft monitor` does not say which. */
const OVERLAY = { resources: ["../../base"], components: ["../../components/api-watch"] };

let cluster: Cluster;
let journal: Journal;
let stage: Stage;
let guide: Guide;

/** Each edit has a block of its own. */
const blockOf = (edit: number) => `10.${edit >> 8}.${edit & 255}.0/24`;

/** Writes the ConfigMap as soon as the API server takes it. */
function configure(edit: number): Promise<string> {
  const text = `nonMasqueradeCIDRs: ["${blockOf(edit)}"]\n`;
  const patch = JSON.stringify({ data: { config: text } });
  const patched = ["patch", SYSTEM, "configmap", "ip-masq-agent", "--type=merge", `--patch=${patch}`];
  return eventually(() => cluster.kubectl(...patched), 120_000);
}

/** JavaScript in the pod that has a node's network, whose image has no shell; the API server may be away. */
function onHost(node: string, script: string): Promise<string> {
  const exec = ["exec", `--namespace=${NAMESPACE}`, `host-${node}`, "--", "node", "--eval", script];
  return eventually(() => cluster.kubectl(...exec), 120_000);
}

/** JavaScript that starts a process which stays; `file` and `args` are expressions. */
function inBackground(file: string, args: string, output = "/dev/null"): string {
  const out = `fs.openSync("${output}", "a")`;
  return `child_process.spawn(${file}, ${args}, { detached: true, stdio: ["ignore", ${out}, "ignore"] }).unref()`;
}

/** The edits that a node had in force, in order. */
async function takenOn(node: string): Promise<readonly number[]> {
  const text = await onHost(node, `process.stdout.write(fs.readFileSync("${CHANGES}"))`);
  const added = text.split("\n").filter((line) => line.startsWith("add rule ip nat IP-MASQ-AGENT "));
  return added
    .flatMap((line) => [...line.matchAll(/\b10\.(\d+)\.(\d+)\.0\/24\b/g)])
    .map(([, high, low]) => Number(high) * 256 + Number(low));
}

/** What may happen between two edits, with how often. */
function happenings(random: () => number, service: string) {
  const nodes = [cluster.node, ...cluster.others];
  const counts: Record<string, number> = {};
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  const oneOf = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T;
  const restartAgent = async () => {
    const pod = oneOf(await see.agentPods(cluster));
    const restarts = pod?.status.containerStatuses?.[0]?.restartCount ?? 0;
    if (pod === undefined) return;
    const { name } = pod.metadata;
    if (restarts >= RESTARTS) {
      count("pods deleted");
      await cluster.kubectl("delete", SYSTEM, "pod", name, "--wait=false");
    } else if (pod.spec.nodeName === cluster.node) {
      count("agents killed");
      await cluster.onNode("pkill", "-KILL", "-f", "bin/ip-masq-agent$");
    } else {
      count("agents ended");
      await cluster.kubectl("exec", SYSTEM, name, "--", "node", "--eval", 'process.kill(1, "SIGTERM")');
    }
  };
  const all: readonly (readonly [chance: number, happen: () => Promise<unknown>])[] = [
    [0.08, restartAgent],
    [
      0.03,
      () => {
        count("API server killed");
        return cluster.onNode("pkill", "-KILL", "-x", "kube-apiserver");
      },
    ],
    [
      0.06,
      () => {
        count("ways cut");
        // The service's address, before kube-proxy replaces it: the agent's way alone. The server's own: the kubelet's as well.
        const [table, rule] = oneOf([
          ["raw", `OUTPUT -d ${service} -p tcp --dport 443 -j DROP`],
          ["filter", `OUTPUT -d ${stage.host} -p tcp --dport 6443 -j DROP`],
          ["filter", `OUTPUT -d ${stage.host} -p tcp --dport 6443 -j REJECT`],
        ] as const);
        // Mended from within: a kubelet that is cut off may refuse to run anything.
        const change = (verb: string) =>
          `child_process.execFileSync("iptables", ${JSON.stringify(["-w", "9", "-t", table, verb, ...rule.split(" ")])})`;
        const ms = Math.ceil(CUT_S * 1_000 * random());
        const cut = `${change("-I")}; setTimeout(() => ${change("-D")}, ${ms})`;
        return onHost(oneOf(nodes), inBackground("process.execPath", JSON.stringify(["--eval", cut])));
      },
    ],
    [
      0.15,
      () => {
        count("kubelets hurried");
        const mark = `churn=${Math.round(random() * 1e9)}`;
        return cluster.kubectl(
          "annotate",
          SYSTEM,
          "pods",
          "-l",
          "k8s-app=ip-masq-agent",
          "--overwrite",
          mark,
        );
      },
    ],
  ];
  return {
    counts,
    /** The API server may be away: then it does not happen. */
    next: async () => {
      for (const [chance, happen] of all) if (random() < chance) await happen().catch(() => {});
    },
  };
}

describe.skipIf(EDITS === 0)("edits in trouble", { timeout: 120_000 + EDITS * 10_000 }, () => {
  beforeAll(async () => {
    cluster = await openCluster();
    journal = openJournal("build/e2e-churn.log");
    const image = await provideImage(cluster);
    stage = await openStage(cluster, image);
    guide = openGuide(cluster, image, async () => ({
      POD: "",
      NODE: cluster.node,
      "REGISTRY/ip-masq-agent:VERSION": image,
    }));
    const overlay = join(guide.directory, "deploy/kustomize/overlays/churn");
    mkdirSync(overlay);
    writeFileSync(join(overlay, "kustomization.yaml"), JSON.stringify(OVERLAY));
  }, 600_000);

  afterAll(async () => {
    const ours = ["daemonset", "configmap", "rolebinding", "role", "serviceaccount"];
    const names = ours.map((kind) => `${kind}/ip-masq-agent`);
    await cluster.kubectl("delete", SYSTEM, "--ignore-not-found", ...names);
    await guide.follow("docs/install.md", "The rules");
    await stage.close();
    guide.close();
  }, 240_000);

  test(`no node goes back in ${EDITS} edits (SEED=${SEED})`, async () => {
    const random = generator(Number(SEED));
    const nodes = [cluster.node, ...cluster.others];
    await cluster.kubectl(
      "create",
      SYSTEM,
      "configmap",
      "ip-masq-agent",
      "--from-literal=config=nonMasqueradeCIDRs: []",
    );
    for (const node of nodes) await onHost(node, inBackground('"nft"', '["monitor"]', CHANGES));
    await guide.type("kubectl apply -k deploy/kustomize/overlays/churn");
    await see.rolledOut(cluster);
    const service = (
      await cluster.kubectl("get", "service", "kubernetes", "--output=jsonpath={.spec.clusterIP}")
    ).trim();
    const { counts, next } = happenings(random, service);
    for (let edit = 1; edit <= EDITS; edit++) {
      await configure(edit);
      await next();
      await new Promise((done) => setTimeout(done, 50 + 1_500 * random()));
      if (edit % 50 === 0) journal.note(`${edit} edits, ${JSON.stringify(counts)}`);
    }
    for (const node of nodes) {
      await eventually(async () => expect((await takenOn(node)).at(-1), node).toBe(EDITS), 300_000);
      const taken = await takenOn(node);
      const back = taken.filter((edit, i) => edit < (taken[i - 1] ?? 0));
      journal.note(
        `${node}: ${new Set(taken).size} of ${EDITS} edits were in force, ${back.length} steps back`,
      );
      expect(back).toEqual([]);
      // A node whose way was cut misses most of those meanwhile.
      expect(taken.length).toBeGreaterThan(EDITS / 10);
    }
  });
});

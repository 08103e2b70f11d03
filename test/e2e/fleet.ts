/** `kubectl ip-masq` in a cluster of which a part does not answer: nodes whose pods run nothing, and one whose kubelet is out of reach. */
import { expect } from "vitest";
import { eventually } from "../lab/network/lab.ts";
import type { Cluster } from "./cluster.ts";
import type { Guide } from "./guide.ts";
import type { Journal } from "./journal.ts";

const HOLLOW = 10;
const KUBELET = "10250";

export interface FleetWorld {
  readonly cluster: Cluster;
  readonly guide: Guide;
  readonly journal: Journal;
  /** Puts a text into the file `edited` of the guide's directory. */
  readonly write: (text: string) => void;
}

/** Runs a line whose answer may be "no" (exit code 1); returns what it printed, and notes how long it took. */
async function ask({ guide, journal }: FleetWorld, line: string, name: string): Promise<string> {
  const start = performance.now();
  const answer = await guide.type(`{ ${line} 2>&1 || [ $? = 1 ]; }`);
  journal.figure(name, performance.now() - start);
  return answer;
}

/** Refused, dangerous and usual edits where ten nodes never answer. */
export async function askHollowNodes(world: FleetWorld, good: string): Promise<void> {
  const { cluster, guide, journal, write } = world;
  if (cluster.hollowNodes === undefined) return journal.note("hollow nodes are not tried: no HOLLOW_NODES");
  const real = cluster.others.length + 1;
  try {
    await cluster.hollowNodes(HOLLOW);
    const follow = new RegExp(`^${real} of ${real + HOLLOW} nodes follow it`, "m");
    const silent = new RegExp(`^no answer +${HOLLOW} `, "m");
    await eventually(async () => {
      const answer = await ask(world, "kubectl ip-masq status", `status, ${HOLLOW} of the nodes hollow`);
      expect(answer).toMatch(follow);
      expect(answer).toMatch(silent);
    }, 120_000);

    write("nonMasqueradeCIDRs: [10.1.0.0/8]");
    await expect(guide.type("kubectl ip-masq apply --yes edited")).rejects.toThrow(
      /nothing was written.*did you mean/s,
    );
    write("nonMasqueradeCIDRs: [0.0.0.0/0]");
    const apply = "kubectl ip-masq apply --yes edited";
    const dangerous = await ask(world, apply, "apply of a dangerous text, nodes hollow");
    expect(dangerous).toMatch(/dangerous/i);
    expect(dangerous).toMatch(follow);
    write(good);
    const applied = await ask(world, apply, "apply, nodes hollow");
    expect(applied).toMatch(silent);
    await askLeases(world, /digest (\w+)/.exec(applied)?.[1] ?? "", real);
  } finally {
    await cluster.hollowNodes(0);
  }
}

/** The nodes whose agents are ready: a Lease says nothing of the others. Whether hollow ones are is up to their kubelets' probes. */
export async function readyNodes({ kubectl }: Pick<Cluster, "kubectl">): Promise<ReadonlySet<string>> {
  const each = '{.spec.nodeName}={.status.conditions[?(@.type=="Ready")].status}{"\\n"}';
  const said = await kubectl(
    ...["get", "pods", "--namespace=kube-system", "--selector=k8s-app=ip-masq-agent"],
    `--output=jsonpath={range .items[*]}${each}{end}`,
  );
  return new Set(
    said.split("\n").flatMap((line) => (line.endsWith("=True") ? [line.slice(0, -"=True".length)] : [])),
  );
}

/** Hollow nodes report by Leases, which the test writes for them; so only the real ones are asked. One of them refuses the text. */
async function askLeases(world: FleetWorld, digest: string, real: number): Promise<void> {
  const { cluster } = world;
  const query = ["nodes", "--selector=hollow=true", "--output=jsonpath={.items[*].metadata.name}"];
  const nodes = (await cluster.kubectl("get", ...query)).split(" ");
  const lease = (node: string, i: number) => ({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name: `ip-masq-agent-${node}`,
      namespace: "kube-system",
      labels: {
        "k8s-app": "ip-masq-agent",
        "ip-masq-agent/config": digest,
        "ip-masq-agent/state": i === 0 ? "refused" : "ok",
      },
      annotations: { "ip-masq-agent/why": i === 0 ? "no such CIDR" : "" },
    },
    spec: { holderIdentity: node },
  });
  await cluster.send("apply", ...nodes.map(lease));
  try {
    const ready = await readyNodes(cluster);
    const following = real + nodes.slice(1).filter((node) => ready.has(node)).length;
    const answer = await ask(world, "kubectl ip-masq status", "status, by Leases");
    expect(answer).toMatch(new RegExp(`^${following} of ${real + HOLLOW} nodes follow it`, "m"));
    expect(answer).toMatch(new RegExp(`^refused +1 +${nodes[0]}: no such CIDR$`, "m"));
    expect(answer).not.toContain("no answer");
  } finally {
    const selector = ["leases", "--selector=k8s-app=ip-masq-agent"];
    await cluster.kubectl("delete", "--namespace=kube-system", ...selector);
  }
}

/** An edit while a node is down: the others have it, and there is a sentence about that one. The node catches up by itself. */
export async function applyWithNodeDown(world: FleetWorld, edited: string): Promise<void> {
  const { cluster, guide, journal, write } = world;
  const [down] = cluster.others;
  if (down === undefined) return journal.note("a node that is down is not tried: there is only one");
  const query = '--output=jsonpath={.status.addresses[?(@.type=="InternalIP")].address}';
  const [address = ""] = (await cluster.kubectl("get", "node", down, query)).split(" ");
  // The API server is on the first node, and asks kubelets: its questions get lost.
  const cut = ["OUTPUT", "-d", address, "-p", "tcp", "--dport", KUBELET, "-j", "DROP"];
  write(edited);
  await cluster.onNode("iptables", "-I", ...cut);
  try {
    const answer = await ask(world, "kubectl ip-masq apply --yes edited", "apply, a node down");
    expect(answer).toMatch(new RegExp(`^no answer +1 +${down}`, "m"));
  } finally {
    await cluster.onNode("iptables", "-D", ...cut);
  }
  await eventually(() => guide.type("kubectl ip-masq status"), 180_000);
}

/** Observes the agent in a cluster: its pod, its log, the rules on the node, and the verdicts of real packets. */
import type { Cluster } from "./cluster.ts";
import { CORPORATE, INTERNET, type Stage } from "./stage.ts";

const SYSTEM = "--namespace=kube-system";
const SELECTOR = "--selector=k8s-app=ip-masq-agent";
/** In the shell of the node, for what takes long at worst: the kubelet's own rhythm is a minute or two. */
const PATIENCE_S = "240";

/** A pod as the API server has it. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: {
    readonly nodeName: string;
    readonly volumes: readonly { readonly configMap?: { readonly name: string } }[];
  };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

/** The agents' pods, without those that are about to end, and without those of hollow nodes. */
export async function agentPods(cluster: Cluster): Promise<readonly Pod[]> {
  const list = await cluster.kubectl("get", "pods", SYSTEM, SELECTOR, "--output=json");
  const { items } = JSON.parse(list) as { items: Pod[] };
  const isReal = ({ spec }: Pod) => [cluster.node, ...cluster.others].includes(spec.nodeName);
  return items.filter((pod) => pod.metadata.deletionTimestamp === undefined && isReal(pod));
}

/** The ConfigMap that a pod is shown. */
export function mapOf({ spec }: Pod): string {
  return spec.volumes.flatMap(({ configMap }) => configMap?.name ?? [])[0] ?? "";
}

/** The agent's pod on the node. */
export async function agentPod(cluster: Cluster): Promise<string> {
  const pods = await agentPods(cluster);
  return pods.find(({ spec }) => spec.nodeName === cluster.node)?.metadata.name ?? "";
}

/** Runs a command in the agent's pod. */
export async function inAgent(cluster: Cluster, ...argv: readonly string[]): Promise<string> {
  return cluster.kubectl("exec", SYSTEM, await agentPod(cluster), "--", ...argv);
}

/** Runs a command in the agents of all nodes; there has to be one on each. */
export async function inEveryAgent(cluster: Cluster, ...argv: readonly string[]): Promise<readonly string[]> {
  const pods = await agentPods(cluster);
  const missing = [cluster.node, ...cluster.others].filter(
    (node) => !pods.some(({ spec }) => spec.nodeName === node),
  );
  if (missing.length > 0) throw new Error(`no agent on ${missing.join(", ")}`);
  return Promise.all(
    pods.map(({ metadata }) => cluster.kubectl("exec", SYSTEM, metadata.name, "--", ...argv)),
  );
}

export async function agentLog(cluster: Cluster): Promise<string> {
  return cluster.kubectl("logs", SYSTEM, await agentPod(cluster));
}

/** How often the kubelet has restarted the agent's container. */
export async function restarts(cluster: Cluster): Promise<number> {
  const count = "--output=jsonpath={.status.containerStatuses[0].restartCount}";
  return Number(await cluster.kubectl("get", "pod", SYSTEM, await agentPod(cluster), count));
}

/** Runs what waits on the node until a condition of its shell holds; returns when, in ms since 1970 by the node's clock. */
export async function whenOnNode(
  cluster: Cluster,
  condition: string,
  ...words: readonly string[]
): Promise<number> {
  const script = `until ${condition}; do sleep 0.01; done; date +%s%N`;
  const text = await cluster.onNode("timeout", PATIENCE_S, "bash", "-c", script, "-", ...words);
  return Number(text.trim()) / 1e6;
}

/** The node's clock, in ms since 1970. */
export async function nodeTime(cluster: Cluster): Promise<number> {
  return whenOnNode(cluster, "true");
}

/** When the agent's process started, by its own metrics. */
export async function processStart(cluster: Cluster): Promise<number> {
  const script = 'fetch("http://127.0.0.1:10279/metrics").then(async (r) => console.log(await r.text()))';
  const metrics = await inAgent(cluster, "node", "--eval", script);
  return Number(/^process_start_time_seconds (\S+)$/m.exec(metrics)?.[1]) * 1000;
}

/** When the kubelet brought what the agent's volume shows now. */
export async function volumeTime(cluster: Cluster): Promise<number> {
  const query = ["get", "pod", SYSTEM, await agentPod(cluster), "--output=jsonpath={.metadata.uid}"];
  const uid = await cluster.kubectl(...query);
  const data = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~configmap/config/..data`;
  return Number(await cluster.onNode("stat", "--format=%.9Z", data)) * 1000;
}

/** Waits until the DaemonSet's pods are all there and ready. */
export function rolledOut(cluster: Cluster): Promise<string> {
  return cluster.kubectl("rollout", "status", SYSTEM, "daemonset/ip-masq-agent", "--timeout=180s");
}

/** Waits until no pod of the agent is left: a kubelet may take a minute longer than the container. */
export async function agentGone(cluster: Cluster): Promise<void> {
  await cluster.kubectl("wait", "--for=delete", "pod", SYSTEM, SELECTOR, "--timeout=180s");
}

export interface Watch {
  /** Ends it: how many flows there were, and those whose address was not the one it should have been. */
  readonly stop: () => Promise<{ readonly flows: number; readonly wrong: readonly string[] }>;
}

/** Source ports of flows that go on; those of new ones are all lower. */
const LONG_FLOWS = { [INTERNET]: 60_001, [CORPORATE]: 60_002 };

/**
 * Makes flows without a pause, over TCP and UDP, to a destination that is masqueraded and one that is not, and has one flow to
 * each go on all the time, which must keep address and port.
 */
export function watchVerdicts({ ask, goOn, pod, nodeAddress }: Stage): Watch {
  const expectedAt = { [INTERNET]: nodeAddress.IPv4 ?? "", [CORPORATE]: pod.IPv4 ?? "" };
  let isOver = false;
  let flows = 0;
  const wrong: string[] = [];
  const lane = async (what: string, expected: string, next: () => Promise<string>) => {
    while (!isOver) {
      const seen = await next().catch((error: Error) => error.message);
      flows++;
      if (seen !== expected)
        wrong.push(`${new Date().toISOString()} ${what}: ${seen} instead of ${expected}`);
    }
  };
  const lanes = Object.entries(expectedAt).flatMap(([destination, expected]) => [
    lane(`tcp ${destination}`, expected, () => ask("tcp", destination)),
    lane(`udp ${destination}`, expected, () => ask("udp", destination)),
  ]);
  const longLanes = Object.entries(LONG_FLOWS).map(async ([destination, port]) => {
    const first = await goOn(destination, port);
    await lane(`flow that goes on to ${destination}`, first, () => goOn(destination, port));
  });
  return {
    stop: async () => {
      isOver = true;
      await Promise.all([...lanes, ...longLanes]);
      return { flows, wrong };
    },
  };
}

const LISTINGS: readonly (readonly string[])[] = [
  ["iptables-nft-save"],
  ["iptables-legacy-save"],
  ["ip6tables-nft-save"],
  ["nft", "list", "tables"],
  ["ipset", "list", "-n"],
];

/** What agents have left on a node, the first one or another, of whatever kind: lines of listings that name it. */
export async function leftOnNode({ onNode }: Cluster, run = onNode): Promise<string> {
  // Not every node has all of them.
  const texts = await Promise.all(LISTINGS.map((argv) => run(...argv).catch(() => "")));
  const lines = texts.join("\n").split("\n");
  return lines.filter((line) => /masq-agent/i.test(line)).join("\n");
}

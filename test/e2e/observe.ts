/** Observes the agent in a cluster: its pod, its log, the rules on the node, and the verdicts of real packets. */
import type { Cluster } from "./cluster.ts";
import { CORPORATE, INTERNET, type Stage } from "./stage.ts";

const SYSTEM = "--namespace=kube-system";
const SELECTOR = "--selector=k8s-app=ip-masq-agent";
/** In the shell of the node, for what takes long at worst: the kubelet's own rhythm is a minute or two. */
const PATIENCE_S = "240";

/** The agent's pod on the node, without one that is about to end. */
export async function agentPod(cluster: Cluster): Promise<string> {
  const list = await cluster.kubectl(
    "get",
    "pods",
    SYSTEM,
    SELECTOR,
    `--field-selector=spec.nodeName=${cluster.node}`,
    "--output=json",
  );
  type Pod = { metadata: { name: string; deletionTimestamp?: string } };
  const { items } = JSON.parse(list) as { items: Pod[] };
  const staying = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  return staying[0]?.metadata.name ?? "";
}

/** Runs a command in the agent's pod. */
export async function inAgent(cluster: Cluster, ...argv: readonly string[]): Promise<string> {
  return cluster.kubectl("exec", SYSTEM, await agentPod(cluster), "--", ...argv);
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
  const destinations = { [INTERNET]: nodeAddress, [CORPORATE]: pod };
  const lanes = Object.entries(destinations).flatMap(([destination, expected]) => [
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

/** What an agent, or several after one another, has left on the node, of whatever kind: lines of listings that name it. */
export async function leftOnNode(cluster: Cluster): Promise<string> {
  const tools = "iptables-nft-save; iptables-legacy-save; ip6tables-nft-save; nft list tables; ipset list -n";
  // Not every node has all of them.
  const lines = (await cluster.onNode("sh", "-c", `{ ${tools}; } 2>/dev/null; true`)).split("\n");
  return lines.filter((line) => /masq-agent/i.test(line)).join("\n");
}

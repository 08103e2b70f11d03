/**
 * Two pods on the node: one asks, and one plays the world. The world has a link to the node beside its pod's own, and the
 * node routes the world's addresses over it; so that what the asking pod sends leaves the node as it would towards other
 * hosts, and the receiver sees whose packet it is. All of it goes with the pods.
 */
import { helperScript } from "../lab/network/helper.ts";
import { eventually } from "../lab/network/lab.ts";
import { createProcesses } from "../lab/network/processes.ts";
import type { Cluster } from "./cluster.ts";

/** A namespace of the test's own. */
export const NAMESPACE = "ip-masq-agent-e2e";
/** Destinations: outside of the default list, within it, and one that is outside until the list is edited. */
export const INTERNET = "203.0.113.7";
export const CORPORATE = "10.213.0.7";
export const PARTNER = "198.51.100.77";

/** The link between node and world, of the range for benchmarks. */
const NODE_END = "198.18.255.1";
const WORLD_END = "198.18.255.2";
const LINK = "e2e-world";

/**
 * Source ports come round again after 50,000 flows, and a flow that connection tracking still knows would keep the verdict of
 * the one before. Seconds by which a UDP flow is forgotten sooner; the flows that go on never pause for so long.
 */
const FORGET = {
  "net.netfilter.nf_conntrack_udp_timeout": 5,
  "net.netfilter.nf_conntrack_udp_timeout_stream": 5,
};

export interface Stage {
  /** The addresses by which the receiver may know the pod. */
  readonly pod: string;
  readonly nodeAddress: string;
  /** A new flow: the source address that the receiver saw. */
  readonly ask: (protocol: "tcp" | "udp", destination: string) => Promise<string>;
  /** The next packet of the flow over UDP that has this source port: source address and port that the receiver saw. */
  readonly goOn: (destination: string, sourcePort: number) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** Makes the pods of an image that has node. */
export async function openStage(cluster: Cluster, image: string): Promise<Stage> {
  const processes = createProcesses();
  const restore = await setSysctls(cluster, FORGET);
  const close = async () => {
    await processes.end();
    await restore();
    await cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found");
  };
  try {
    await furnish(cluster, image);
    const pod = await addressOf(cluster, "client");
    await connect(cluster, await processOf(cluster, "world"), pod);
    const inPod = (name: string) => {
      const exec = ["exec", "--stdin", `--namespace=${NAMESPACE}`, name, "--"];
      return [...cluster.prefix, ...exec, "node", "/e2e/traffic.cjs"];
    };
    await processes.startReceiver(inPod("world"));
    const client = await processes.startClient(inPod("client"));
    const ask: Stage["ask"] = async (protocol, destination) =>
      (await client.flow({ protocol, destination })).address;
    const goOn: Stage["goOn"] = async (destination, sourcePort) => {
      const { address, port } = await client.flow({ protocol: "udp", destination, sourcePort });
      return `${address} ${port}`;
    };
    return { pod, nodeAddress: NODE_END, ask, goOn, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Sets what the node's network namespace has of these; returns what puts it back. */
async function setSysctls(
  cluster: Cluster,
  settings: Readonly<Record<string, number>>,
): Promise<() => Promise<string>> {
  const names = Object.keys(settings);
  const before = (await cluster.onNode("sysctl", "--values", ...names)).trim().split("\n");
  const write = (values: readonly unknown[]) =>
    cluster.onNode("sysctl", "--quiet", "--write", ...names.map((name, i) => `${name}=${values[i]}`));
  await write(Object.values(settings));
  return () => write(before);
}

async function furnish(cluster: Cluster, image: string): Promise<void> {
  const metadata = (name: string) => ({ name, namespace: NAMESPACE });
  const pod = (name: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: metadata(name),
    spec: {
      nodeName: cluster.node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "main",
          image,
          command: ["node", "-e", "setInterval(() => {}, 1e9)"],
          volumeMounts: [{ name: "e2e", mountPath: "/e2e" }],
        },
      ],
      volumes: [{ name: "e2e", configMap: { name: "e2e" } }],
    },
  });
  await cluster.send("apply", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  const data = { "traffic.cjs": await helperScript("traffic") };
  await cluster.send("apply", { apiVersion: "v1", kind: "ConfigMap", metadata: metadata("e2e"), data });
  // A pod that names its node is not made wait for the namespace's account by the scheduler.
  await eventually(
    () => cluster.kubectl("get", "serviceaccount", "default", `--namespace=${NAMESPACE}`),
    60_000,
  );
  await cluster.send("apply", pod("client"), pod("world"));
  const wait = ["wait", "--for=condition=Ready", "--timeout=120s", `--namespace=${NAMESPACE}`];
  await cluster.kubectl(...wait, "pod/client", "pod/world");
}

function addressOf(cluster: Cluster, pod: string): Promise<string> {
  return cluster.kubectl("get", "pod", pod, `--namespace=${NAMESPACE}`, "--output=jsonpath={.status.podIP}");
}

/** A process of the pod, as the node numbers it: one that has the pod's network namespace. */
async function processOf(cluster: Cluster, pod: string): Promise<string> {
  const look = 'fs.readlinkSync("/proc/self/ns/net")';
  const exec = ["exec", `--namespace=${NAMESPACE}`, pod, "--", "node", "--print", look];
  const namespace = (await cluster.kubectl(...exec)).trim();
  const script = 'for p in /proc/[0-9]*; do [ "$(readlink $p/ns/net)" != "$0" ] || echo $p; done';
  const [path = ""] = (await cluster.onNode("sh", "-c", script, namespace)).split("\n");
  const pid = path.replace("/proc/", "");
  if (pid === "") throw new Error(`the node has no process in ${namespace}, the network of pod ${pod}`);
  return pid;
}

/** Lays the link, with the world's addresses at its far end. */
async function connect(cluster: Cluster, pid: string, pod: string): Promise<void> {
  const here = (...args: readonly string[]) => cluster.onNode("ip", ...args);
  const there = (...args: readonly string[]) =>
    cluster.onNode("nsenter", `--target=${pid}`, "--net", "ip", ...args);
  await here("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", pid);
  await here("address", "add", `${NODE_END}/30`, "dev", LINK);
  await here("link", "set", LINK, "up");
  await there("address", "add", `${WORLD_END}/30`, "dev", LINK);
  await there("link", "set", LINK, "up");
  // The pods' own network would be the shorter way back, but a connection's packets have to pass the node both ways.
  await there("route", "add", `${pod}/32`, "via", NODE_END);
  for (const destination of [INTERNET, CORPORATE, PARTNER]) {
    await there("address", "add", `${destination}/32`, "dev", "lo");
    await here("route", "add", `${destination}/32`, "via", WORLD_END);
  }
}

/**
 * Two pods on the node: one asks, and one plays the world. The world has a link to the node beside its pod's own, and the
 * node routes the world's addresses over it; so that what the asking pod sends leaves the node as it would towards other
 * hosts, and the receiver sees whose packet it is. On each node one pod has the node's network, and on each other node one asks the first.
 * All of it goes with the pods.
 */
import { helperScript } from "../lab/network/helper.ts";
import type { Family } from "../lab/network/iptables.ts";
import { eventually, familyOf } from "../lab/network/lab.ts";
import { createProcesses } from "../lab/network/processes.ts";
import type { Cluster } from "./cluster.ts";

/** A namespace of the test's own. */
export const NAMESPACE = "ip-masq-agent-e2e";
/** Destinations: outside of the default list, within it, and one that is outside until the list is edited. */
export const INTERNET = "203.0.113.7";
export const CORPORATE = "10.213.0.7";
export const PARTNER = "198.51.100.77";
/** The same for IPv6, where the cluster has it. */
export const INTERNET6 = "2001:db8:203::7";
export const CORPORATE6 = "fd00:213::7";

/** The link between node and world, of the range for benchmarks. */
const LINK = "e2e-world";
const NODE_END: Addresses = { IPv4: "198.18.255.1", IPv6: "fd00:198:18::1" };
const WORLD_END: Addresses = { IPv4: "198.18.255.2", IPv6: "fd00:198:18::2" };
const LINK_BITS = { IPv4: 30, IPv6: 64 };
const HOST_BITS = { IPv4: 32, IPv6: 128 };

/**
 * Source ports come round again after 50,000 flows, and a flow that connection tracking still knows would keep the verdict of
 * the one before. Seconds by which a UDP flow is forgotten sooner; the flows that go on never pause for so long.
 */
const FORGET = {
  "net.netfilter.nf_conntrack_udp_timeout": 5,
  "net.netfilter.nf_conntrack_udp_timeout_stream": 5,
};

type Protocol = "tcp" | "udp";
/** Of a family that the cluster does not have: none. */
type Addresses = Readonly<Partial<Record<Family, string>>>;

/** A node beside the first one. */
export interface Peer {
  readonly node: string;
  /** The addresses by which the first node may know the node's pod. */
  readonly pod: string;
  readonly nodeAddress: string;
  /** A new flow from the pod to the first node: the source address that it saw. */
  readonly ask: (protocol: Protocol) => Promise<string>;
  /** Runs a command on the node, in a pod that has its network. */
  readonly run: (...argv: readonly string[]) => Promise<string>;
}

export interface Stage {
  /** The addresses by which the receiver may know the pod. */
  readonly pod: Addresses;
  readonly nodeAddress: Addresses;
  readonly hasIpv6: boolean;
  /** A new flow: the source address that the receiver saw. */
  readonly ask: (protocol: Protocol, destination: string) => Promise<string>;
  /** The next packet of the flow over UDP that has this source port: source address and port that the receiver saw. */
  readonly goOn: (destination: string, sourcePort: number) => Promise<string>;
  /** The first node's own address, which peers ask. */
  readonly host: string;
  readonly peers: readonly Peer[];
  readonly close: () => Promise<void>;
}

/** Makes the pods of an image that has node and the tools of rules. */
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
    const pod = await addressesOf(cluster, "client");
    await connect(cluster, await processOf(cluster, "world"), pod);
    const inPod = (name: string) => {
      const exec = ["exec", "--stdin", `--namespace=${NAMESPACE}`, name, "--"];
      return [...cluster.prefix, ...exec, "node", "/e2e/traffic.cjs"];
    };
    const host = await hostAddress(cluster, cluster.node);
    const openPeer = async (node: string): Promise<Peer> => {
      const client = await processes.startClient(inPod(`client-${node}`));
      return {
        node,
        pod: (await addressesOf(cluster, `client-${node}`)).IPv4 ?? "",
        nodeAddress: await hostAddress(cluster, node),
        ask: async (protocol) => (await client.flow({ protocol, destination: host })).address,
        run: (...argv) => cluster.kubectl("exec", `--namespace=${NAMESPACE}`, `host-${node}`, "--", ...argv),
      };
    };
    await processes.startReceiver(inPod("world"));
    await processes.startReceiver(inPod(`host-${cluster.node}`));
    const client = await processes.startClient(inPod("client"));
    const ask: Stage["ask"] = async (protocol, destination) =>
      (await client.flow({ protocol, destination })).address;
    const goOn: Stage["goOn"] = async (destination, sourcePort) => {
      const { address, port } = await client.flow({ protocol: "udp", destination, sourcePort });
      return `${address} ${port}`;
    };
    const peers = await Promise.all(cluster.others.map(openPeer));
    const hasIpv6 = pod.IPv6 !== undefined;
    return { pod, nodeAddress: NODE_END, hasIpv6, ask, goOn, host, peers, close };
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

const metadata = (name: string) => ({ name, namespace: NAMESPACE });

function pod(image: string, name: string, node: string, more: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: metadata(name),
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "main",
          image,
          command: ["node", "-e", "setInterval(() => {}, 1e9)"],
          volumeMounts: [{ name: "e2e", mountPath: "/e2e" }],
          securityContext: { capabilities: { add: ["NET_ADMIN", "NET_RAW"] } },
        },
      ],
      volumes: [{ name: "e2e", configMap: { name: "e2e" } }],
      ...more,
    },
  };
}

async function furnish(cluster: Cluster, image: string): Promise<void> {
  const { node, others } = cluster;
  const hosts = [node, ...others];
  const pods = [
    pod(image, "client", node),
    pod(image, "world", node),
    ...others.map((other) => pod(image, `client-${other}`, other)),
    ...hosts.map((host) => pod(image, `host-${host}`, host, { hostNetwork: true })),
  ];
  await cluster.send("apply", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  const data = { "traffic.cjs": await helperScript("traffic") };
  await cluster.send("apply", { apiVersion: "v1", kind: "ConfigMap", metadata: metadata("e2e"), data });
  // A pod that names its node is not made wait for the namespace's account by the scheduler.
  await eventually(
    () => cluster.kubectl("get", "serviceaccount", "default", `--namespace=${NAMESPACE}`),
    60_000,
  );
  await cluster.send("apply", ...pods);
  const wait = ["wait", "--for=condition=Ready", "--timeout=120s", `--namespace=${NAMESPACE}`];
  await cluster.kubectl(...wait, ...pods.map((one) => `pod/${one.metadata.name}`));
}

async function addressesOf(cluster: Cluster, pod: string): Promise<Addresses> {
  const query = "--output=jsonpath={.status.podIPs[*].ip}";
  const text = await cluster.kubectl("get", "pod", pod, `--namespace=${NAMESPACE}`, query);
  return Object.fromEntries(text.split(" ").map((address) => [familyOf(address), address]));
}

/** The first address of a node, as Kubernetes knows it. */
function hostAddress(cluster: Cluster, node: string): Promise<string> {
  const query = '--output=jsonpath={.status.addresses[?(@.type=="InternalIP")].address}';
  return cluster.kubectl("get", "node", node, query).then((text) => text.split(" ")[0] ?? "");
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
async function connect(cluster: Cluster, pid: string, pod: Addresses): Promise<void> {
  const here = (...args: readonly string[]) => cluster.onNode("ip", ...args);
  const there = (...args: readonly string[]) =>
    cluster.onNode("nsenter", `--target=${pid}`, "--net", "ip", ...args);
  await here("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", pid);
  await here("link", "set", LINK, "up");
  await there("link", "set", LINK, "up");
  const destinations = [INTERNET, CORPORATE, PARTNER, INTERNET6, CORPORATE6];
  for (const [family, address] of Object.entries(pod) as [Family, string][]) {
    const add = (end: string | undefined) => {
      // Otherwise an address of IPv6 is not to be used for a second.
      const at = family === "IPv6" ? ["nodad"] : [];
      return ["address", "add", `${end}/${LINK_BITS[family]}`, "dev", LINK, ...at];
    };
    await here(...add(NODE_END[family]));
    await there(...add(WORLD_END[family]));
    const hostRoute = (to: string, via = "") => ["route", "add", `${to}/${HOST_BITS[family]}`, "via", via];
    // The pods' own network would be the shorter way back, but a connection's packets have to pass the node both ways.
    await there(...hostRoute(address, NODE_END[family]));
    for (const destination of destinations.filter((one) => familyOf(one) === family)) {
      await there("address", "add", `${destination}/${HOST_BITS[family]}`, "dev", "lo");
      await here(...hostRoute(destination, WORLD_END[family]));
    }
  }
}

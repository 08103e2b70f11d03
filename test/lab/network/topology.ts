/**
 * Three network namespaces in a row: pod - node - world. The node routes and is where the agent works; the
 * world has all the destinations, and routes back to the pod's network, so that a packet which keeps the
 * pod's address is answered like one that leaves as the node.
 *
 * Nothing outside the namespaces is touched.
 */
import { writeFileSync } from "node:fs";
import { command } from "../command.ts";
import { canEnter, inNamespace } from "./enter.ts";

/** The names of one lab's namespaces. */
export interface Namespaces {
  readonly pod: string;
  readonly node: string;
  readonly world: string;
}

/** By what address a receiver may know the pod. */
export const POD = { IPv4: "10.244.1.2", IPv6: "fd00:244::2" } as const;
/** The node's address towards the world: that of masqueraded packets. */
export const NODE = { IPv4: "192.0.2.1", IPv6: "2001:db8:ffff::1" } as const;
/** The node's address towards the pod. */
export const NODE_TOWARDS_POD = { IPv4: "10.244.1.1", IPv6: "fd00:244::1" } as const;

const WORLD = { IPv4: "192.0.2.2", IPv6: "2001:db8:ffff::2" } as const;

/** Destinations that the world answers for, besides any that a test asks for. */
export const DESTINATIONS = [
  "10.10.0.1",
  "10.10.1.1",
  "10.10.1.129",
  "172.16.9.9",
  "192.168.5.5",
  "198.51.100.7",
  "203.0.113.7",
  "8.8.8.8",
  "169.254.10.20",
  "169.254.169.254",
  "fd00:10::1",
  "fd00:10:1::1",
  "fd00:10:1:1::1",
  "2001:db8:1::1",
  "2001:4860:4860::8888",
] as const;

/** Addresses are usable at once only without duplicate address detection. */
const SYSCTLS = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"];

/**
 * The node forwards. A UDP flow is forgotten after a second, since the same addresses and ports would otherwise keep the
 * verdict of an earlier test.
 */
const NODE_SYSCTLS = [
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.netfilter.nf_conntrack_udp_timeout=1",
  "net.netfilter.nf_conntrack_udp_timeout_stream=1",
];

/** Makes the namespaces, links, addresses and routes. */
export async function buildTopology(ip: string, { pod, node, world }: Namespaces): Promise<void> {
  await batch(
    ip,
    [],
    [pod, node, world].map((name) => `netns add ${name}`),
  );
  const sysctl = async (name: string, settings: readonly string[]) =>
    canEnter
      ? inNamespace(name, () => settings.forEach(setNow))
      : command(ip, ["netns", "exec", name, "sysctl", "-q", "-w", ...settings]);
  await Promise.all([
    sysctl(pod, SYSCTLS),
    sysctl(node, [...SYSCTLS, ...NODE_SYSCTLS]),
    sysctl(world, SYSCTLS),
  ]);
  await batch(ip, ["-n", node], nodeCommands(pod, world));
  await Promise.all([batch(ip, ["-n", pod], podCommands()), batch(ip, ["-n", world], worldCommands())]);
}

function setNow(setting: string): void {
  const [name = "", value = ""] = setting.split("=");
  writeFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, value);
}

function nodeCommands(pod: string, world: string): string[] {
  return [
    `link add pod0 type veth peer name eth0 netns ${pod}`,
    `link add eth0 type veth peer name eth0 netns ${world}`,
    ...up("lo", "pod0", "eth0"),
    ...addresses("pod0", `${NODE_TOWARDS_POD.IPv4}/24`, `${NODE_TOWARDS_POD.IPv6}/64`),
    ...addresses("eth0", `${NODE.IPv4}/24`, `${NODE.IPv6}/64`),
    ...defaultRoutes(WORLD),
  ];
}

function podCommands(): string[] {
  return [
    ...up("lo", "eth0"),
    ...addresses("eth0", `${POD.IPv4}/24`, `${POD.IPv6}/64`),
    ...defaultRoutes(NODE_TOWARDS_POD),
  ];
}

function worldCommands(): string[] {
  return [
    ...up("lo", "eth0"),
    ...addresses("eth0", `${WORLD.IPv4}/24`, `${WORLD.IPv6}/64`),
    ...addresses("lo", ...DESTINATIONS),
    ...defaultRoutes(NODE),
  ];
}

function up(...devices: readonly string[]): string[] {
  return devices.map((device) => `link set ${device} up`);
}

function addresses(device: string, ...all: readonly string[]): string[] {
  return all.map((address) => `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`);
}

function defaultRoutes(gateway: { readonly IPv4: string; readonly IPv6: string }): string[] {
  return [`route add default via ${gateway.IPv4}`, `route add default via ${gateway.IPv6}`];
}

/** Carries out lines of `ip`. */
export function batch(ip: string, args: readonly string[], commands: readonly string[]): Promise<string> {
  return command(ip, [...args, "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
}

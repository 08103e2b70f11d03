/**
 * What a lab needs for the rows of packets.ts: a second link out of the node, another pod, addresses on `lo`, a tunnel of each family,
 * and Services as kube-proxy makes them.
 */
import { command } from "../command.ts";
import { type Family, LINKS, NODE_PORTS, PLACES, POD_NETWORKS, TUNNEL_PORTS } from "../packets.ts";
import type { Lab } from "./lab.ts";

type Place = "pod" | "node" | "world";
type Addresses = Readonly<Record<Family, string>>;

const FAMILIES = ["IPv4", "IPv6"] as const;
const FAMILY_FLAGS = { IPv4: "-4", IPv6: "-6" } as const;
/** A tunnel's packets are only looked at, so its other end may have any address. */
const OVERLAY_MAC = "02:00:00:00:00:01";
/** The links that only this lab has, and where the world is on each. */
const NEIGHBOURS = {
  bond1: { IPv4: "192.0.3.2", IPv6: "2001:db8:fffe::2" },
  pod1: PLACES.otherPod,
} as const;
const LINK_NAMES = Object.keys(NEIGHBOURS) as readonly (keyof typeof NEIGHBOURS)[];
/** Where kube-proxy's mark is. */
const MARK = "0x4000";
/** The port at which the pod's probe listens. */
const POD_PORT = 7_100;

/** Makes it. */
export async function furnishPackets(lab: Lab): Promise<void> {
  const run = async (place: Place, file: string, args: readonly string[], stdin = "") => {
    const [first = "", ...rest] = lab.inside(place, file, ...args);
    await command(first, rest, { stdin });
  };
  const ip = (place: Place, lines: readonly string[], ...args: readonly string[]) =>
    run(place, "ip", [...args, "-batch", "-"], `${lines.join("\n")}\n`);
  // `ip netns exec NAME`
  const world = lab.inside("world")[3] ?? "";
  // IPv4 sends from addresses with a local route, IPv6 from any if it may.
  await run("pod", "sysctl", ["-qw", "net.ipv6.ip_nonlocal_bind=1"]);
  await ip(
    "pod",
    POD_NETWORKS.IPv4.map((cidr) => `route add local ${cidr} dev lo`),
  );
  await ip("node", nodeLines(world));
  await ip("world", worldLines());
  for (const family of FAMILIES) await ip("world", ownsAll(), FAMILY_FLAGS[family]);
  await ip("node", routesOut());
  await run("node", "nft", ["-f", "-"], services());
}

function nodeLines(world: string): string[] {
  return [
    ...LINK_NAMES.map((link) => `link add ${link} type veth peer name ${link} netns ${world}`),
    ...LINK_NAMES.flatMap((link) => [`link set ${link} up`, ...addressLines(link, LINKS[link], [24, 64])]),
    ...addressLines("lo", PLACES.second, [32, 128]),
    ...FAMILIES.flatMap(tunnelLines),
  ];
}

function worldLines(): string[] {
  return LINK_NAMES.flatMap((link) => [
    `link set ${link} up`,
    ...addressLines(link, NEIGHBOURS[link], [24, 64]),
  ]);
}

/** Everything that arrives in the world is for the world, whatever the address. */
function ownsAll(): string[] {
  return [
    ...["eth0", ...LINK_NAMES].map((link) => `rule add iif ${link} lookup 100`),
    "route add local default dev lo table 100",
  ];
}

function tunnelLines(family: Family): string[] {
  const [link, id, length] = family === "IPv4" ? (["vx4", 4, 16] as const) : (["vx6", 6, 64] as const);
  const ends = `local ${LINKS.eth0[family]} remote ${PLACES.world[family]}`;
  const ports = `dstport ${TUNNEL_PORTS.to} srcport ${TUNNEL_PORTS.first} ${TUNNEL_PORTS.last}`;
  const neighbour = `neigh add ${PLACES.overlay[family]} lladdr ${OVERLAY_MAC} dev ${link}`;
  return [
    `link add ${link} type vxlan id ${id} ${ends} ${ports}`,
    `link set ${link} up`,
    `addr add ${LINKS[link][family]}/${length} dev ${link}${family === "IPv6" ? " nodad" : ""}`,
    neighbour,
  ];
}

function routesOut(): string[] {
  const hosts = { IPv4: 32, IPv6: 128 } as const;
  return FAMILIES.map(
    (family) =>
      `route add ${PLACES.beyondBond[family]}/${hosts[family]} via ${NEIGHBOURS.bond1[family]} dev bond1`,
  );
}

function addressLines(link: string, addresses: Addresses, [ipv4, ipv6]: [number, number]): string[] {
  return [
    `addr add ${addresses.IPv4}/${ipv4} dev ${link}`,
    `addr add ${addresses.IPv6}/${ipv6} dev ${link} nodad`,
  ];
}

/** The pod's address behind a NodePort, and that of a pod elsewhere with the mark, which is masqueraded before the agent's rules. */
function services(): string {
  const lines = FAMILIES.flatMap((family) => {
    const [ip, at] =
      family === "IPv4" ? ["ip", (host: string) => host] : ["ip6", (host: string) => `[${host}]`];
    const to = `${ip} daddr ${LINKS.eth0[family]} udp dport`;
    return [
      `${to} ${NODE_PORTS.local} dnat ${ip} to ${at(PLACES.pod[family])}:${POD_PORT}`,
      `${to} ${NODE_PORTS.elsewhere} meta mark set ${MARK} dnat ${ip} to ${at(PLACES.podElsewhere[family])}:${POD_PORT}`,
    ];
  });
  return `table inet services {
chain prerouting { type nat hook prerouting priority dstnat;\n${lines.join("\n")}\n}
chain postrouting { type nat hook postrouting priority srcnat - 5;\nmeta mark ${MARK} masquerade\n}
}\n`;
}

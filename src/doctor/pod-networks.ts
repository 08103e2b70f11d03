/**
 * The networks of pods, as far as a node knows them: what its links, addresses and routes tell. Pure; what else may tell (files
 * of CNI plugins, command lines) is added by who reads that.
 */
import { ADDRESS_BITS, type Cidr, type Family, formatCidr, lastAddress } from "../core/cidr.ts";
import type { Interval } from "../core/intervals.ts";
import type { ObservedLink, ObservedRoute } from "../route/rtnetlink.ts";

/** A network that pods have addresses of. */
export interface PodNetwork {
  readonly cidr: Cidr;
  /** Where it was learnt, for people. */
  readonly from: string;
  /** Whether it is of this node's pods, and not of those of other nodes as well. */
  readonly isLocal: boolean;
  /** The link that all its pods' packets come in by, if there is one. */
  readonly link?: string;
  /** The link of one of its pods, where each pod has its own. */
  readonly podLink?: string;
}

export interface PodFacts {
  readonly networks: readonly PodNetwork[];
  /** Networks of links that pods' packets do not come in by. */
  readonly others: readonly Cidr[];
  /** The node's own addresses, but for those towards its pods. */
  readonly own: readonly NodeAddress[];
  /** The node's addresses on all links, where links were read. */
  readonly addresses?: readonly NamedAddress[];
  /** The links of default routes in any table. */
  readonly uplinks: readonly Uplink[];
  /** Links by name, and whether pods' packets come in by them. */
  readonly links: ReadonlyMap<string, boolean>;
}

export interface Uplink {
  readonly family: Family;
  /** Undefined for a route over several links. */
  readonly name: string | undefined;
}

/** An address with its network, and the link that it is on. */
export interface NamedAddress extends NodeAddress {
  readonly link: string;
  readonly network: Cidr;
}

export interface NodeAddress {
  readonly family: Family;
  readonly address: bigint;
}

export interface LinkAddress {
  readonly link: number;
  readonly address: bigint;
  readonly network: Cidr;
}

/** A route as the kernel lists it, with its destination as a CIDR. */
export interface Route extends Omit<ObservedRoute, "family" | "destination" | "bits"> {
  readonly cidr: Cidr;
}

export interface Network {
  readonly links: readonly ObservedLink[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
}

/** Links of containers and guests that are no pods: Docker's (`br-` and 12 digits is a network of its), libvirt's, Podman's, LXD's. */
const NOT_PODS =
  /^(docker0|docker_gwbridge|br-[0-9a-f]{12}|virbr\d.*|(cni-)?podman\d+|nerdctl\d+|lxcbr\d+|lxdbr\d+|incusbr\d+)$/;

/** Ends of a link to a pod. */
const TO_PODS = ["veth", "netkit"];

/** Ports that make a bridge a part of the network that the node is in. */
const HARDWARE: readonly (string | undefined)[] = [undefined, "bond", "team", "vlan"];

/** How container runtimes call a link's inner end: this node is then itself a container, and the link its way out. */
const INNER_END = /^(eth|net)\d+$/;

/** Links of which the other end is other nodes. A `wg0` is a person's own tunnel, by the convention of wg-quick. */
const OVERLAY_KINDS = ["vxlan", "geneve", "ipip", "wireguard"];
const OVERLAY_NAMES = /^(flannel|cilium|kube-bridge)/;
/** A node's own link into a network of pods that Open vSwitch makes: Antrea's and OVN-Kubernetes'. */
const OVS_GATEWAYS = /^(antrea-gw\d+|ovn-k8s-mp\d+)$/;
const NOT_OVERLAY = /^(wg\d+|cilium_net)$/;

/** A route that is wider leads to the rest of the world, not to pods. */
const WIDEST: Readonly<Record<Family, number>> = { IPv4: 8, IPv6: 16 };

/** Whether a name is known for links that are no pods'. */
export function isOthersLink(name: string): boolean {
  return NOT_PODS.test(name);
}

/** The networks that links, addresses and routes name. */
export function learnPods({ links, addresses, routes }: Network): PodFacts {
  const uplinks = new Set(
    routes
      .filter(({ cidr, type, isMain }) => cidr.bits === 0 && type === "unicast" && isMain)
      .map(({ link }) => link),
  );
  // A veth with a network of its own and a route through a gateway leads to a router; a pod's end has a host route.
  const toRouters = new Set(
    routes
      .filter(({ hasGateway, type }) => hasGateway && type === "unicast")
      .map(({ link }) => link)
      .filter((link) => addresses.some((one) => one.link === link && isWide(one.network))),
  );
  const masterOf = ({ master }: ObservedLink) => links.find(({ index }) => index === master);
  const isVeth = (link: ObservedLink) => TO_PODS.includes(link.kind ?? "") && !isOverlay(link);
  const isFree = ({ index, name }: ObservedLink) => !uplinks.has(index) && !isOthersLink(name);
  const bridges = links.filter((link) => {
    const ports = links.filter(({ master }) => master === link.index);
    const isLan = ports.some(({ kind }) => HARDWARE.includes(kind));
    return link.kind === "bridge" && isFree(link) && ports.some(isVeth) && !isLan;
  });
  const veths = links.filter((link) => {
    const master = masterOf(link);
    const isPort = master !== undefined && !bridges.includes(master);
    const isInner = INNER_END.test(link.name) || toRouters.has(link.index);
    return isVeth(link) && isFree(link) && !isInner && !isPort;
  });
  const gateways = links.filter(({ name }) => OVS_GATEWAYS.test(name));
  const ways = [...bridges, ...gateways, ...veths.filter((link) => !gateways.includes(link))];
  const found = [
    ...ways.flatMap((link) => networksOf(link, addresses)),
    ...hostRoutes(veths, routes),
    ...overlayRoutes(links.filter(isOverlay), { addresses, routes }),
  ];
  const isWay = ({ index }: ObservedLink) => ways.some((way) => way.index === index);
  return {
    networks: found.filter(({ cidr }) => isGlobal(cidr)),
    others: addresses
      .filter(({ link }) => links.some((one) => one.index === link && !isWay(one) && !isOverlay(one)))
      .map(({ network }) => network),
    uplinks: routes
      .filter(({ cidr, type }) => cidr.bits === 0 && type === "unicast")
      .map(({ cidr: { family }, link }) => ({
        family,
        name: links.find(({ index }) => index === link)?.name,
      })),
    own: addresses
      .filter(({ link }) => !ways.some(({ index }) => index === link))
      .map(({ address, network: { family } }) => ({ family, address })),
    addresses: addresses.flatMap(({ link, address, network }) => {
      const name = links.find(({ index }) => index === link)?.name;
      return name === undefined ? [] : { family: network.family, address, network, link: name };
    }),
    links: new Map(links.map((link) => [link.name, isWay(link)])),
  };
}

function isOverlay({ kind, name }: ObservedLink): boolean {
  return (OVERLAY_KINDS.includes(kind ?? "") || OVERLAY_NAMES.test(name)) && !NOT_OVERLAY.test(name);
}

/** The networks of a link's addresses; an address alone is the node's, not a pod's. */
function networksOf({ index, name, kind }: ObservedLink, addresses: readonly LinkAddress[]): PodNetwork[] {
  return addresses
    .filter(({ link, network }) => link === index && isWide(network))
    .map(({ network }) => ({
      cidr: network,
      from: `${kind} ${name}`,
      isLocal: true,
      ...(TO_PODS.includes(kind ?? "") ? { podLink: name } : { link: name }),
    }));
}

/** Whether it has more than one address. */
function isWide({ family, bits }: Cidr): boolean {
  return bits < ADDRESS_BITS[family];
}

/** Each pod's own route, or the block that it is of, of which the node drops what no pod has. */
function hostRoutes(veths: readonly ObservedLink[], routes: readonly Route[]): PodNetwork[] {
  const blocks = routes.filter(({ type, cidr }) => type === "blackhole" && cidr.bits >= WIDEST[cidr.family]);
  return routes.flatMap(({ cidr, type, link }) => {
    const veth = veths.find(({ index }) => index === link);
    if (veth === undefined || type !== "unicast" || cidr.bits < ADDRESS_BITS[cidr.family]) return [];
    const block = blocks.find((one) => contains(one.cidr, cidr));
    const route = `route to ${veth.name}`;
    const [pods, from] =
      block === undefined ? [cidr, route] : [block.cidr, `blackhole route around the ${route}`];
    return { cidr: pods, from, isLocal: true, podLink: veth.name };
  });
}

/** Networks of pods beyond a tunnel; one that has an address of this node is that of its own pods. */
function overlayRoutes(
  overlays: readonly ObservedLink[],
  { addresses, routes }: Pick<Network, "addresses" | "routes">,
): PodNetwork[] {
  return routes.flatMap(({ cidr, type, link, hasGateway, isKernels }) => {
    const overlay = overlays.find(({ index }) => index === link);
    const isConnected = isKernels && !hasGateway;
    const { family, bits } = cidr;
    if (overlay === undefined || type !== "unicast" || isConnected) return [];
    if (bits < WIDEST[family] || bits === ADDRESS_BITS[family]) return [];
    const isLocal = addresses.some(
      ({ network, address }) => network.family === family && includes(cidr, address),
    );
    return { cidr, from: `route into ${overlay.name}`, isLocal };
  });
}

/** Not link-local, loopback or multicast. */
function isGlobal({ family, base }: Cidr): boolean {
  if (family === "IPv4") {
    const first = base >> 24n;
    return base >> 16n !== 0xa9fen && first !== 127n && first < 224n;
  }
  return base >> 118n !== 0x3fan && base >> 120n !== 0xffn && base > 1n;
}

function includes(cidr: Cidr, address: bigint): boolean {
  return cidr.base <= address && address <= lastAddress(cidr);
}

/** Whether all of `inner` is in `outer`. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  return outer.family === inner.family && outer.bits <= inner.bits && includes(outer, inner.base);
}

/** The networks that are in no other one, each once, in address order. */
export function widestNetworks(networks: readonly PodNetwork[]): readonly PodNetwork[] {
  const widest: PodNetwork[] = [];
  for (const one of [...networks].sort((a, b) => a.cidr.bits - b.cidr.bits)) {
    if (!widest.some(({ cidr }) => contains(cidr, one.cidr))) widest.push(one);
  }
  return widest.sort((a, b) => (a.cidr.base < b.cidr.base ? -1 : 1));
}

/** The addresses of a network, as an interval. */
export function intervalOf(cidr: Cidr): Interval {
  return { first: cidr.base, last: lastAddress(cidr) };
}

/** A CIDR of an address' network. */
export function networkCidr(family: Family, address: bigint, bits: number): Cidr {
  const hostBits = BigInt(ADDRESS_BITS[family] - bits);
  const block = { family, base: (address >> hostBits) << hostBits, bits };
  return { ...block, text: formatCidr(block) };
}

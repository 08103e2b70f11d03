/** Where this node's kernel sends the packets that `explain` follows, and which interfaces and addresses it has. */
import { readFileSync } from "node:fs";
import { type Family, formatAddress } from "../../core/cidr.ts";
import type { LocalAddresses } from "../../core/intervals.ts";
import { IFA_F } from "../../netlink/constants.ts";
import type { Channel } from "../../netlink/socket/channel.ts";
import {
  lookUpRoute,
  type RouteAnswer,
  type RouteQuestion,
  readSelectors,
  type Selector,
} from "../../route/lookup.ts";
import { masqueradeAddress } from "../../route/masquerade.ts";
import { type Network, openRtnetlink, readLinks } from "../../route/rtnetlink.ts";
import { localAddresses } from "../../system/addresses.ts";
import type { Packet } from "../../trace/model.ts";
import { protocolNumber } from "../../trace/protocols.ts";
import type { Route } from "../../trace/route.ts";

/** A trace needs the routes of the endpoints that it finds, so it runs again with them. */
const ROUNDS = 8;
/** The maximum of packets whose routes are looked up one by one. */
const MANY = 10_000;

const FAMILY_NAMES = { IPv4: "ip", IPv6: "ip6" } as const;

export interface Routes {
  readonly interfaces: readonly string[];
  readonly local: LocalAddresses;
  /** The interface that leads back to a source; undefined: not known. */
  readonly inputOf: (family: Family, source: bigint) => Promise<string | undefined>;
  /** Makes an answer with all the routes that it needs. */
  readonly settle: <T>(answer: (routeOf: (packet: Packet) => Route | undefined) => T) => Promise<T>;
  /** The address of the interface that a packet comes in through, as REDIRECT takes it. Undefined: not known. */
  readonly hereOf: (packet: Packet) => bigint | "none" | undefined;
  readonly close: () => void;
}

interface Kernel {
  readonly channel: Channel;
  readonly links: Network["links"];
  readonly addresses: Network["addresses"];
  readonly selectors: Readonly<Record<"ip" | "ip6", ReadonlySet<Selector>>>;
}

/** Reads links, addresses and rules of policy routing. Throws a failure. */
export async function openRoutes(): Promise<Routes> {
  const channel = openRtnetlink();
  try {
    const kernel = { channel, ...(await readLinks(channel)), selectors: await readSelectors(channel) };
    return {
      interfaces: kernel.links.map(({ name }) => name),
      local: localAddresses(
        kernel.addresses.map(({ family, address }) =>
          formatAddress(family === "ip" ? "IPv4" : "IPv6", address),
        ),
      ),
      inputOf: (family, source) => inputOf(kernel, family, source),
      settle: (answer) => settle(kernel, answer),
      hereOf: (packet) => hereOf(kernel, packet),
      close: channel.close,
    };
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** The first address, of IPv4 without the secondary ones, of IPv6 without those that are not usable yet (nf_nat_redirect.c). */
function hereOf({ links, addresses }: Kernel, packet: Packet): bigint | "none" | undefined {
  const link = links.find(({ name }) => name === packet.in)?.index;
  if (link === undefined) return undefined;
  const family = FAMILY_NAMES[packet.family];
  // Of IPv4, the first flag is IFA_F_SECONDARY.
  const unfit = packet.family === "IPv4" ? IFA_F.TEMPORARY : IFA_F.TENTATIVE;
  const own = addresses.filter((one) => one.family === family && one.link === link);
  return own.find(({ flags }) => (flags & unfit) === 0)?.address ?? "none";
}

/** Rules for sources and links are about packets that are forwarded, and this is the node's own way there. */
const ANY: ReadonlySet<Selector> = new Set();

async function inputOf(kernel: Kernel, family: Family, source: bigint): Promise<string | undefined> {
  const name = FAMILY_NAMES[family];
  const way = await lookUpRoute(kernel.channel, { family: name, destination: source, mark: 0 }, ANY);
  return way?.kind === "unicast" ? kernel.links.find(({ index }) => index === way.link)?.name : undefined;
}

async function settle<T>(
  kernel: Kernel,
  answer: (routeOf: (packet: Packet) => Route | undefined) => T,
): Promise<T> {
  const known = new Map<string, Route | undefined>();
  for (let round = 1; ; round++) {
    const wanted = new Map<string, Packet>();
    const made = answer((packet) => {
      const key = keyOf(kernel, packet);
      if (!known.has(key) && wanted.size + known.size < MANY) wanted.set(key, packet);
      return known.get(key);
    });
    if (wanted.size === 0 || round === ROUNDS) return made;
    for (const [key, packet] of wanted) known.set(key, await routeOf(kernel, packet));
  }
}

/** The same for packets that the kernel sends the same way. */
function keyOf({ links, selectors }: Kernel, packet: Packet): string {
  const question = questionOf(links, packet);
  const { family, destination, source, input, ...rest } = question;
  const looked = [...selectors[family]].map((one) => (one in rest ? rest[one as keyof typeof rest] : ""));
  return [family, destination, source, input, packet.out, ...looked].join(" ");
}

function questionOf(links: Kernel["links"], packet: Packet): RouteQuestion {
  const { family, destination, source, mark, unknownMark, protocol, port } = packet;
  return {
    family: FAMILY_NAMES[family],
    destination,
    source,
    input: packet.in === undefined ? undefined : links.find(({ name }) => name === packet.in)?.index,
    mark: unknownMark === undefined ? mark : undefined,
    protocol: protocol === undefined ? undefined : protocolNumber(protocol),
    port,
  };
}

async function routeOf(kernel: Kernel, packet: Packet): Promise<Route | undefined> {
  const { links, addresses, channel, selectors } = kernel;
  const question = questionOf(links, packet);
  const way = await lookUpRoute(channel, question, selectors[question.family]);
  if (way === undefined || way.kind === "local") return way;
  if (way.kind === "none") return { kind: "none", why: reasonOf(way, packet) };
  if (packet.family === "IPv6" && !isForwardingIpv6())
    return { kind: "none", why: "this node forwards no IPv6 packets: net.ipv6.conf.all.forwarding is 0" };
  // A flag may name another interface.
  const given = links.find(({ name }) => name === packet.out);
  const { index, name } = given ?? links.find((link) => link.index === way.link) ?? {};
  if (index === undefined || name === undefined) return undefined;
  const gateway = index === way.link ? way.gateway : undefined;
  const masquerade = masqueradeAddress(addresses, question.family, index, { ...question, gateway });
  return {
    kind: "unicast",
    out: name,
    ...(gateway === undefined ? {} : { nextHop: gateway }),
    ...(masquerade === undefined ? {} : { masquerade }),
  };
}

function reasonOf({ code }: Extract<RouteAnswer, { kind: "none" }>, packet: Packet): string {
  const link = packet.in ?? "the pod's interface";
  const reasons: Readonly<Record<string, string>> = {
    ENETUNREACH: "this node has no route to it",
    EHOSTUNREACH: `a route says unreachable, or forwarding is off for ${link}`,
    EACCES: "a route prohibits it",
  };
  return reasons[code] ?? `a route is a black hole, or the reverse path filter of ${link} drops it`;
}

/** IPv6 looks at it after the route; IPv4's own is a part of the route. */
function isForwardingIpv6(): boolean {
  try {
    return readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8").trim() !== "0";
  } catch {
    return true;
  }
}

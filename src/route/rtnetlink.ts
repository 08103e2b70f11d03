/**
 * Links, addresses and routes of this network namespace (rtnetlink): the lists of `ip link`, `ip address` and `ip route`, without
 * the tool, without a privilege, and for the right namespace whatever is mounted at /sys.
 */

import {
  type Attributes,
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  readAttributes,
  readString,
  written,
} from "../netlink/attributes.ts";
import {
  FAMILIES,
  IFA,
  IFLA,
  NETLINK_ROUTE,
  NLM_F,
  ROUTE_PROTOCOL_KERNEL,
  ROUTE_TABLE_MAIN,
  ROUTE_TYPES,
  RTA,
  RTM,
  RTM_HEADER_BYTES,
} from "../netlink/constants.ts";
import { NftablesError } from "../netlink/errors.ts";
import { readTogether } from "../netlink/query.ts";
import { loadNetlink } from "../netlink/socket/addon.ts";
import { type Channel, createChannel } from "../netlink/socket/channel.ts";
import { listenToQuery } from "../netlink/socket/conversation.ts";

export interface ObservedLink {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, `vxlan`, ...; undefined for hardware, and for loopback. */
  readonly kind: string | undefined;
  /** The index of the bridge, or bond, whose port it is. */
  readonly master: number | undefined;
}

/** An address with the prefix length of its network; only of the two families that nf_tables' `inet` has. */
export interface ObservedAddress {
  readonly family: "ip" | "ip6";
  readonly link: number;
  readonly address: bigint;
  /** The same but for links with a peer, whose network is the peer's. */
  readonly network: bigint;
  readonly bits: number;
  /** 0: anywhere; the larger, the nearer. */
  readonly scope: number;
  /** IFA_F. */
  readonly flags: number;
}

export interface ObservedRoute {
  readonly family: "ip" | "ip6";
  readonly destination: bigint;
  readonly bits: number;
  readonly type: "unicast" | "local" | "blackhole" | "other";
  /** The index of the link that it leads to; undefined for several, and for none. */
  readonly link: number | undefined;
  readonly hasGateway: boolean;
  readonly isMain: boolean;
  /** Made by the kernel itself, for an address. */
  readonly isKernels: boolean;
}

export interface Network {
  readonly links: readonly ObservedLink[];
  readonly addresses: readonly ObservedAddress[];
  readonly routes: readonly ObservedRoute[];
}

const TIMEOUT_MS = 10_000;
const BUFFER_BYTES = 1024 * 1024;
/** How often a list that changed meanwhile is read again. */
const ATTEMPTS = 10;

/** Reads all of it. Throws `NetlinkUnavailable` without the addon. */
export async function readNetwork(): Promise<Network> {
  const channel = openRtnetlink();
  try {
    return {
      ...(await readLinks(channel)),
      routes: (await dump(channel, "routes", RTM.GETROUTE)).flatMap(readRoute),
    };
  } finally {
    channel.close();
  }
}

/** Links and addresses. */
export async function readLinks(channel: Channel): Promise<Pick<Network, "links" | "addresses">> {
  return {
    links: (await dump(channel, "links", RTM.GETLINK)).map(readLink),
    addresses: await readAddresses(channel),
  };
}

/** Addresses alone, which takes a third of the time where there are many links. */
export async function readAddresses(channel: Channel): Promise<readonly ObservedAddress[]> {
  return (await dump(channel, "addresses", RTM.GETADDR)).flatMap(readAddress);
}

/** A socket of rtnetlink. Throws `NetlinkUnavailable` without the addon. */
export function openRtnetlink(): Channel {
  return createChannel(loadNetlink(BUFFER_BYTES, NETLINK_ROUTE), TIMEOUT_MS);
}

/** A list of the kernel's. */
export async function dump(channel: Channel, what: string, type: number): Promise<readonly Message[]> {
  for (let sequence = type << 8; sequence < (type << 8) + ATTEMPTS; sequence++) {
    const writer = createWriter();
    closeMessage(
      writer,
      openMessage(writer, { type, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence, family: 0 }),
    );
    const listener = listenToQuery({ what, isList: true, reader: readTogether((all) => all) });
    const request = { what, bytes: written(writer), first: sequence, last: sequence, listener };
    const settled = await channel.exchange(request);
    if (settled.state === "done") return settled.value;
  }
  throw new NftablesError({ code: "EINTR", what, why: `they changed each of the ${ATTEMPTS} times` });
}

function readLink({ payload }: Message): ObservedLink {
  const attributes = readAttributes(payload.subarray(RTM_HEADER_BYTES.LINK));
  const info = readAttributes(attributes.get(IFLA.LINKINFO));
  return {
    index: numberAt(payload, 4),
    name: readString(attributes.get(IFLA.IFNAME)) ?? "",
    kind: readString(info.get(IFLA.INFO_KIND)),
    master: numberIn(attributes, IFLA.MASTER),
  };
}

function readAddress({ payload }: Message): ObservedAddress[] {
  const family = familyOf(payload[0]);
  const attributes = readAttributes(payload.subarray(RTM_HEADER_BYTES.ADDR));
  const peer = attributes.get(IFA.ADDRESS);
  const local = attributes.get(IFA.LOCAL) ?? peer;
  if (family === undefined || peer === undefined || local === undefined) return [];
  const [address, network] = [bigintOf(local), bigintOf(peer)];
  const [, bits = 0, oldFlags = 0, scope = 0] = payload;
  const flags = numberIn(attributes, IFA.FLAGS) ?? oldFlags;
  return [{ family, link: numberAt(payload, 4), address, network, bits, scope, flags }];
}

function readRoute({ payload }: Message): ObservedRoute[] {
  const family = familyOf(payload[0]);
  if (family === undefined) return [];
  const attributes = readAttributes(payload.subarray(RTM_HEADER_BYTES.ROUTE));
  const destination = attributes.get(RTA.DST);
  return [
    {
      family,
      destination: destination === undefined ? 0n : bigintOf(destination),
      bits: payload[1] ?? 0,
      type: ROUTE_TYPES[payload[7] ?? 0] ?? "other",
      link: numberIn(attributes, RTA.OIF),
      hasGateway: attributes.has(RTA.GATEWAY) || attributes.has(RTA.VIA),
      isMain: (numberIn(attributes, RTA.TABLE) ?? payload[4]) === ROUTE_TABLE_MAIN,
      isKernels: payload[5] === ROUTE_PROTOCOL_KERNEL,
    },
  ];
}

/** The family by its number. */
export function familyOf(number: number | undefined): "ip" | "ip6" | undefined {
  return (["ip", "ip6"] as const).find((family) => FAMILIES[family] === number);
}

/** A number of 32 bits in the machine's order. */
export function numberIn(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  return value?.length === 4 ? numberAt(value, 0) : undefined;
}

function numberAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** An address as a number. */
export function bigintOf(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

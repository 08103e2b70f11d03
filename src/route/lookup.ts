/**
 * Looks up the kernel's route for a packet that it forwards (RTM_GETROUTE): with all known details of the packet, since rules of
 * policy routing may match any of them. There is no answer if a detail that these rules match is not known.
 */
import {
  type Attributes,
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  putBytes,
  readAttributes,
  readString,
  reserve,
  type Writer,
  written,
} from "../netlink/attributes.ts";
import { FAMILIES, FRA, NLM_F, RTA, RTM, RTM_F_FIB_MATCH, RTM_HEADER_BYTES } from "../netlink/constants.ts";
import { NftablesError } from "../netlink/errors.ts";
import { readTogether } from "../netlink/query.ts";
import type { Channel } from "../netlink/socket/channel.ts";
import { listenToQuery } from "../netlink/socket/conversation.ts";
import { bigintOf, dump, numberIn } from "./rtnetlink.ts";

/** A packet, as far as it is known. */
export interface RouteQuestion {
  readonly family: "ip" | "ip6";
  readonly destination: bigint;
  readonly source?: bigint | undefined;
  /** The index of the link that it comes in through. */
  readonly input?: number | undefined;
  readonly mark?: number | undefined;
  /** By its number. */
  readonly protocol?: number | undefined;
  readonly port?: number | undefined;
}

export type RouteAnswer =
  | { readonly kind: "unicast"; readonly link: number; readonly gateway: bigint | undefined }
  | { readonly kind: "local" }
  /** The kernel's error, such as ENETUNREACH. */
  | { readonly kind: "none"; readonly code: string };

/** The selectors of policy routing rules, besides the destination. */
export type Selector = "source" | "input" | "mark" | "protocol" | "port";

/** The selectors that the rules of each family use. */
export async function readSelectors(
  channel: Channel,
): Promise<Readonly<Record<"ip" | "ip6", ReadonlySet<Selector>>>> {
  const selectors = { ip: new Set<Selector>(), ip6: new Set<Selector>() };
  for (const { payload } of await dump(channel, "rules", RTM.GETRULE)) {
    const family = payload[0] === FAMILIES.ip ? "ip" : payload[0] === FAMILIES.ip6 ? "ip6" : undefined;
    if (family === undefined) continue;
    const attributes = readAttributes(payload.subarray(RTM_HEADER_BYTES.RULE));
    for (const one of selectorsOf(attributes)) selectors[family].add(one);
  }
  return selectors;
}

function selectorsOf(attributes: Attributes): Selector[] {
  const looks = (attribute: number, selector: Selector) => (attributes.has(attribute) ? [selector] : []);
  // Packets that the node itself sends come in by lo, and are not forwarded.
  const isOwn = readString(attributes.get(FRA.IIFNAME)) === "lo";
  return [
    ...looks(FRA.SRC, "source"),
    ...(isOwn ? [] : looks(FRA.IIFNAME, "input")),
    ...looks(FRA.FWMARK, "mark"),
    ...looks(FRA.IP_PROTO, "protocol"),
    ...looks(FRA.SPORT, "port"),
    ...looks(FRA.DPORT, "port"),
  ];
}

/** Where the packet goes; undefined if that depends on unknown details, or on chance. */
export async function lookUpRoute(
  channel: Channel,
  question: RouteQuestion,
  selectors: ReadonlySet<Selector>,
): Promise<RouteAnswer | undefined> {
  if ([...selectors].some((one) => question[one] === undefined)) return undefined;
  // A forwarded packet's way needs both; without them, look up the node's own way there.
  const isForwarded = question.source !== undefined && question.input !== undefined;
  if (!isForwarded && (selectors.has("source") || selectors.has("input"))) return undefined;
  const asked = isForwarded ? question : { ...question, source: undefined, input: undefined };
  try {
    const [message] = await ask(channel, asked, 0);
    const answer = message === undefined ? undefined : readAnswer(message);
    if (answer?.kind !== "unicast") return answer;
    // Of several ways, a hash of the flow takes one.
    const [entry] = await ask(channel, asked, RTM_F_FIB_MATCH);
    return entry !== undefined && attributesOf(entry).has(RTA.MULTIPATH) ? undefined : answer;
  } catch (error) {
    if (error instanceof NftablesError && NOWHERE.has(error.code)) return { kind: "none", code: error.code };
    throw error;
  }
}

const NOWHERE = new Set(["ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL", "EXDEV"]);

const UNICAST = 1;
const LOCAL = 2;
/** RTN_BLACKHOLE, RTN_UNREACHABLE and RTN_PROHIBIT, which IPv6 reports without an error. */
const NOWHERE_TYPES: Readonly<Record<number, string>> = { 6: "EINVAL", 7: "EHOSTUNREACH", 8: "EACCES" };

function readAnswer(message: Message): RouteAnswer | undefined {
  const type = message.payload[7] ?? 0;
  if (type === LOCAL) return { kind: "local" };
  const code = NOWHERE_TYPES[type];
  if (code !== undefined) return { kind: "none", code };
  const attributes = attributesOf(message);
  const link = numberIn(attributes, RTA.OIF);
  if (type !== UNICAST || link === undefined) return undefined;
  const gateway = attributes.get(RTA.GATEWAY);
  return { kind: "unicast", link, gateway: gateway === undefined ? undefined : bigintOf(gateway) };
}

function attributesOf({ payload }: Message): Attributes {
  return readAttributes(payload.subarray(RTM_HEADER_BYTES.ROUTE));
}

/** The next request's number; each socket has requests one after the other. */
let sequence = 1;

async function ask(channel: Channel, question: RouteQuestion, flags: number): Promise<readonly Message[]> {
  const what = "route";
  const writer = createWriter();
  const number = sequence++;
  const { family } = question;
  const start = openMessage(writer, {
    type: RTM.GETROUTE,
    flags: NLM_F.REQUEST,
    sequence: number,
    family: FAMILIES[family],
  });
  putHeader(writer, start, question, flags);
  putQuestion(writer, question);
  closeMessage(writer, start);
  const listener = listenToQuery({ what, isList: false, reader: readTogether((all) => all) });
  const settled = await channel.exchange({
    what,
    bytes: written(writer),
    first: number,
    last: number,
    listener,
  });
  return settled.state === "done" ? settled.value : [];
}

/** Fills `rtmsg`, of which the common header has written the family and the three bytes after it. */
function putHeader(writer: Writer, start: number, { family, source }: RouteQuestion, flags: number): void {
  const rest = RTM_HEADER_BYTES.ROUTE - 4;
  const bits = 8 * ADDRESS_BYTES[family];
  reserve(writer, rest);
  writer.bytes.set([bits, source === undefined ? 0 : bits], start + 17);
  writer.length += rest;
  writer.view.setUint32(writer.length - 4, flags, true);
}

const ADDRESS_BYTES = { ip: 4, ip6: 16 } as const;

function putQuestion(writer: Writer, question: RouteQuestion): void {
  const { family, destination, source, input, mark, protocol, port } = question;
  const number = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
  putBytes(writer, RTA.DST, bytesOf(destination, ADDRESS_BYTES[family]));
  if (source !== undefined) putBytes(writer, RTA.SRC, bytesOf(source, ADDRESS_BYTES[family]));
  if (input !== undefined) putBytes(writer, RTA.IIF, number(input));
  if (mark !== undefined && mark !== 0) putBytes(writer, RTA.MARK, number(mark));
  if (protocol !== undefined) putBytes(writer, RTA.IP_PROTO, Uint8Array.of(protocol));
  if (protocol !== undefined && port !== undefined)
    putBytes(writer, RTA.DPORT, Uint8Array.of(port >> 8, port & 0xff));
}

function bytesOf(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 0xffn));
}

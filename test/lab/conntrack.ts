/** Entries of connection tracking as messages: answers of a kernel, and requests to enter them. */
import { packAddress, unpackBytes } from "../../src/conntrack/address.ts";
import {
  CTA,
  CTA_IP,
  CTA_PROTO,
  CTA_TUPLE,
  SUBSYS_CTNETLINK,
  TCP_STATES,
} from "../../src/conntrack/constants.ts";
import {
  closeMessage,
  createWriter,
  openMessage,
  putBytes,
  putNest,
  putU32,
  type Writer,
  written,
} from "../../src/netlink/attributes.ts";
import { FAMILIES, NLM_F, PROTOCOLS } from "../../src/netlink/constants.ts";

/** A connection, in words. */
export interface Entry {
  readonly protocol?: keyof typeof PROTOCOLS;
  readonly source: string;
  readonly sourcePort: number;
  /** What was asked, if that is a Service. */
  readonly asked?: string;
  readonly askedPort?: number;
  readonly remote: string;
  readonly port: number;
  /** The address and port that the remote knows. */
  readonly node: string;
  readonly nodePort: number;
  readonly state?: (typeof TCP_STATES)[number];
  readonly secondsLeft?: number;
  readonly status?: number;
  readonly zone?: number;
}

/** IPS_CONFIRMED | IPS_ASSURED | IPS_SEEN_REPLY. */
const CONFIRMED = 0xe;
const NEW = 0;

/** A message of the kernel's, or to it, for one entry. */
export function entryMessage(entry: Entry, sequence: number, flags = 0): Uint8Array {
  const writer = createWriter(512);
  putEntry(writer, entry, sequence, flags);
  return written(writer);
}

/** Messages that enter connections, as many in each as a socket takes. */
export function* enteringMessages(entries: Iterable<Entry>): Generator<Uint8Array> {
  let [writer, count] = [createWriter(65_536), 0];
  for (const entry of entries) {
    putEntry(writer, entry, 1, NLM_F.REQUEST | NLM_F.CREATE);
    if (++count % 200 !== 0) continue;
    yield written(writer);
    writer = createWriter(65_536);
  }
  if (writer.length > 0) yield written(writer);
}

function putEntry(writer: Writer, entry: Entry, sequence: number, flags: number): void {
  const { source, sourcePort, remote, port, node, nodePort, asked = remote, askedPort = port } = entry;
  const { protocol = "udp", state, secondsLeft = 600, status = CONFIRMED, zone } = entry;
  const family = source.includes(":") ? FAMILIES.ip6 : FAMILIES.ip;
  const start = openMessage(writer, { type: (SUBSYS_CTNETLINK << 8) | NEW, flags, sequence, family });
  putTuple(writer, CTA.TUPLE_ORIG, protocol, [source, sourcePort, asked, askedPort]);
  putTuple(writer, CTA.TUPLE_REPLY, protocol, [remote, port, node, nodePort]);
  putU32(writer, CTA.STATUS, status);
  putU32(writer, CTA.TIMEOUT, secondsLeft);
  if (zone !== undefined) putBytes(writer, CTA.ZONE, Uint8Array.of(zone >> 8, zone & 255));
  if (protocol === "tcp")
    putNest(writer, CTA.PROTOINFO, () =>
      putNest(writer, 1, () =>
        putBytes(writer, 1, Uint8Array.of(TCP_STATES.indexOf(state ?? "ESTABLISHED"))),
      ),
    );
  closeMessage(writer, start);
}

type Ends = readonly [source: string, sourcePort: number, destination: string, destinationPort: number];

function putTuple(
  writer: Writer,
  type: number,
  protocol: NonNullable<Entry["protocol"]>,
  [source, sourcePort, destination, destinationPort]: Ends,
): void {
  const isIpv6 = source.includes(":");
  putNest(writer, type, () => {
    putNest(writer, CTA_TUPLE.IP, () => {
      putBytes(writer, isIpv6 ? CTA_IP.V6_SRC : CTA_IP.V4_SRC, bytesOf(source));
      putBytes(writer, isIpv6 ? CTA_IP.V6_DST : CTA_IP.V4_DST, bytesOf(destination));
    });
    putNest(writer, CTA_TUPLE.PROTO, () => {
      putBytes(writer, CTA_PROTO.NUM, Uint8Array.of(PROTOCOLS[protocol]));
      putBytes(writer, CTA_PROTO.SRC_PORT, Uint8Array.of(sourcePort >> 8, sourcePort & 255));
      putBytes(writer, CTA_PROTO.DST_PORT, Uint8Array.of(destinationPort >> 8, destinationPort & 255));
    });
  });
}

function bytesOf(address: string): Uint8Array {
  return unpackBytes(packAddress(address) ?? "");
}

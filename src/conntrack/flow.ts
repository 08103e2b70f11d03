/** An entry of the kernel's table of connections, and how its message is read. */
import { scanAttributes } from "../netlink/attributes.ts";
import { PROTOCOLS } from "../netlink/constants.ts";
import { type PackedAddress, packBytes } from "./address.ts";
import {
  CTA,
  CTA_IP,
  CTA_PROTO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_TUPLE,
} from "./constants.ts";

/** One direction of a connection. */
export interface Tuple {
  readonly source: PackedAddress;
  readonly destination: PackedAddress;
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The reply's direction is the one after all translation, turned round: from the remote to the address that it knows. */
export interface Flow {
  readonly original: Tuple;
  readonly reply: Tuple;
  /** The bits of enum ip_conntrack_status; undefined where the list does not tell. */
  readonly status?: number | undefined;
  /** The place in TCP_STATES; 0 for other protocols. */
  readonly state: number;
  readonly secondsLeft: number;
}

export type Protocol = keyof typeof PROTOCOLS;

const NAMES: Readonly<Record<number, Protocol>> = Object.fromEntries(
  Object.entries(PROTOCOLS).map(([name, number]) => [number, name as Protocol]),
);

/** Undefined for protocols without ports. */
export function protocolName(number: number): Protocol | undefined {
  return NAMES[number];
}

export function isProtocol(name: string): name is Protocol {
  return name in PROTOCOLS;
}

export function protocolNumber(name: Protocol): number {
  return PROTOCOLS[name];
}

/** The entry in a message's attributes; undefined if it lacks a direction. */
export function readFlow(bytes: Uint8Array): Flow | undefined {
  let [original, reply]: (Tuple | undefined)[] = [];
  let status: number | undefined;
  let [secondsLeft, state] = [0, 0];
  scanAttributes(bytes, 0, bytes.length, (type, from, to) => {
    if (type === CTA.TUPLE_ORIG) original = readTuple(bytes, from, to);
    else if (type === CTA.TUPLE_REPLY) reply = readTuple(bytes, from, to);
    else if (type === CTA.STATUS) status = numberAt(bytes, from, to);
    else if (type === CTA.TIMEOUT) secondsLeft = numberAt(bytes, from, to);
    else if (type === CTA.PROTOINFO) state = readState(bytes, from, to);
  });
  if (original === undefined || reply === undefined) return undefined;
  return { original, reply, status, state, secondsLeft };
}

function readTuple(bytes: Uint8Array, from: number, to: number): Tuple | undefined {
  let [source, destination]: (PackedAddress | undefined)[] = [];
  let [protocol, sourcePort, destinationPort] = [0, 0, 0];
  scanAttributes(bytes, from, to, (part, start, end) => {
    if (part === CTA_TUPLE.IP)
      scanAttributes(bytes, start, end, (type, at, until) => {
        if (type === CTA_IP.V4_SRC || type === CTA_IP.V6_SRC) source = packBytes(bytes, at, until);
        else if (type === CTA_IP.V4_DST || type === CTA_IP.V6_DST) destination = packBytes(bytes, at, until);
      });
    else if (part === CTA_TUPLE.PROTO)
      scanAttributes(bytes, start, end, (type, at, until) => {
        if (type === CTA_PROTO.NUM) protocol = numberAt(bytes, at, until);
        else if (type === CTA_PROTO.SRC_PORT) sourcePort = numberAt(bytes, at, until);
        else if (type === CTA_PROTO.DST_PORT) destinationPort = numberAt(bytes, at, until);
      });
  });
  if (source === undefined || destination === undefined) return undefined;
  return { source, destination, protocol, sourcePort, destinationPort };
}

function readState(bytes: Uint8Array, from: number, to: number): number {
  let state = 0;
  scanAttributes(bytes, from, to, (info, start, end) => {
    if (info !== CTA_PROTOINFO_TCP) return;
    scanAttributes(bytes, start, end, (type, at, until) => {
      if (type === CTA_PROTOINFO_TCP_STATE) state = numberAt(bytes, at, until);
    });
  });
  return state;
}

/** A number in network order, of up to four bytes. */
function numberAt(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to && at < from + 4; at++) value = value * 256 + (bytes[at] ?? 0);
  return value;
}

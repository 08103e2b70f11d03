/**
 * The one place that touches the addon netlink.c. It is loaded at its first use, so that a missing addon does not
 * keep the program from starting. A bundle has it in its own directory (esbuild-addon.mjs).
 */
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../constants.ts";
import { kernelFailure, NetlinkUnavailable, type NftablesError } from "../errors.ts";

/** A socket as transport.ts needs it. */
export interface NetlinkSocket {
  /** Sends to the kernel; returns 0, or a negative errno. */
  readonly send: (bytes: Uint8Array) => number;
  /** SO_SNDBUF and SO_RCVBUF, as the kernel counts them. */
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** Whether the process waits for it. */
  readonly hold: (held: boolean) => void;
  readonly close: () => void;
}

export interface SocketEvents {
  readonly message: (bytes: Uint8Array) => void;
  /** Receiving failed: answers are missing. The error says why: ENOBUFS after an overflow of the receive buffer. */
  readonly lost: (error: NftablesError) => void;
}

/** Throws an `NftablesError` if the kernel rejects it. */
export type OpenSocket = (events: SocketEvents) => NetlinkSocket;

/**
 * The longest message from the kernel, which fills messages as far as it knows that so much is read at once. The kernel walks a
 * set from its beginning for each piece of a list, so that lists in small pieces take longer.
 */
const RECEIVE_BYTES = 32_768;

/** Opens sockets of a netlink protocol; throws `NetlinkUnavailable` if the addon is missing. */
export function loadNetlink(bufferBytes: number, protocol = NETLINK_NETFILTER): OpenSocket {
  const addon = loadAddon();
  return (events) => {
    const socket = open(addon, { protocol, bufferBytes, messageBytes: RECEIVE_BYTES }, events);
    const [sendBufferBytes, receiveBufferBytes] = addon.bufferSizes(socket);
    return {
      send: (bytes) => addon.send(socket, bytes),
      sendBufferBytes,
      receiveBufferBytes,
      hold: (held) => addon.hold(socket, held),
      close: () => addon.close(socket),
    };
  };
}

/** A socket that gets those messages of multicast groups that `program`, a classic BPF program, lets through. */
export type OpenEvents = (
  program: Uint8Array,
  groups: readonly number[],
  events: SocketEvents,
) => { readonly close: () => void };

/** A longer event is cut off; the part that matters is shorter. */
const EVENT_BYTES = 256;

/** The kernel's default for a socket: some hundred events, of which only the last matters for the next question. */
const EVENT_BUFFER_BYTES = 212_992;

/** Opens sockets for events of a netlink protocol; throws `NetlinkUnavailable` if the addon is missing. */
export function loadEvents(protocol = NETLINK_NETFILTER): OpenEvents {
  const addon = loadAddon();
  return (program, groups, events) => {
    const kind = { protocol, bufferBytes: EVENT_BUFFER_BYTES, messageBytes: EVENT_BYTES };
    const socket = open(addon, kind, events);
    for (const group of groups) {
      const errno = addon.join(socket, group, program);
      if (errno === 0) continue;
      addon.close(socket);
      throw kernelFailure(errno, `listening to ${subject(protocol)}`);
    }
    listening.add(socket);
    const close = () => {
      listening.delete(socket);
      addon.close(socket);
    };
    return { close };
  };
}

/** Sockets that listen. A handle that is collected closes its socket, and a caller may keep nothing but the events. */
const listening = new Set<Handle>();

/** An open socket that the addon holds. */
type Handle = object;

/** The exports of netlink.c, which describes them. A number that is returned is 0 or a negative errno. */
interface Addon {
  readonly open: (
    protocol: number,
    bufferBytes: number,
    messageBytes: number,
    hear: (heard: Uint8Array | number) => void,
  ) => Handle | number;
  readonly bufferSizes: (socket: Handle) => readonly [send: number, receive: number];
  readonly join: (socket: Handle, group: number, program: Uint8Array) => number;
  readonly send: (socket: Handle, bytes: Uint8Array) => number;
  readonly hold: (socket: Handle, held: boolean) => void;
  readonly close: (socket: Handle) => void;
  readonly trim: () => void;
}

/** Gives back to the system what the C library has freed; nothing happens where the addon is missing. */
export function trimMemory(): void {
  try {
    loadAddon().trim();
  } catch (error) {
    if (!(error instanceof NetlinkUnavailable)) throw error;
  }
}

interface Kind {
  readonly protocol: number;
  readonly bufferBytes: number;
  readonly messageBytes: number;
}

function open(addon: Addon, { protocol, bufferBytes, messageBytes }: Kind, events: SocketEvents): Handle {
  const socket = addon.open(protocol, bufferBytes, messageBytes, (heard) => {
    if (typeof heard !== "number") events.message(heard);
    else events.lost(kernelFailure(heard, `receiving from ${subject(protocol)}`));
  });
  if (typeof socket === "number") throw kernelFailure(socket, "opening a netlink socket");
  return socket;
}

/** The subject of a protocol's sockets, in errors. */
function subject(protocol: number): string {
  return protocol === NETLINK_ROUTE ? "rtnetlink" : "nf_tables";
}

function loadAddon(): Addon {
  const platform = `${process.platform}-${process.arch}`;
  const addon = { exports: {} as Addon };
  try {
    process.dlopen(addon, `${__dirname}/netlink-${platform}.node`);
  } catch (error) {
    throw new NetlinkUnavailable(platform, error);
  }
  return addon.exports;
}

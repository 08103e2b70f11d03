/**
 * The one place that touches the npm package `netlink`, of which only the socket is wanted: the package's main file
 * would load three protocol families more. Loaded when first asked for, so that a missing addon is an error of
 * that moment and not of starting the program. In a bundle, esbuild-addon.mjs makes this import work.
 *
 * Sockets that listen to events need an addon of our own as well (netlink-filter.c), which only a bundle has beside it.
 */
import { NETLINK_NETFILTER } from "./constants.ts";
import { kernelFailure, NetlinkUnavailable } from "./errors.ts";

/** A socket as transport.ts needs it. */
export interface NetlinkSocket {
  readonly send: (bytes: Uint8Array, done: (errno: number) => void) => void;
  /** SO_SNDBUF and SO_RCVBUF, as the kernel counts them. */
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** Whether the process waits for it. */
  readonly hold: (held: boolean) => void;
  readonly close: () => void;
}

export interface SocketEvents {
  readonly message: (bytes: Uint8Array) => void;
  /** Receiving failed: answers are missing. Of an overflow the addon tells nothing, it aborts (see budget.ts). */
  readonly lost: (error: unknown) => void;
}

export type OpenSocket = (events: SocketEvents) => NetlinkSocket;

/**
 * Of one message from the kernel: what it puts into one when it knows that so much is read at once. With the
 * package's way of asking for the size first, lists would come in pieces of 4 KB, and the kernel walks a set from
 * its beginning for each: four times slower at 20,000 intervals, worse beyond.
 */
const RECEIVE_BYTES = 32_768;

/** What opens sockets; throws `NetlinkUnavailable` if the addon is missing. */
export async function loadNetlink(bufferBytes: number): Promise<OpenSocket> {
  const { RawNetlinkSocket } = await importAddon();
  return (events) => {
    const socket = attempt("netlink socket", () => {
      const size = { sendBufferSize: bufferBytes, recvBufferSize: bufferBytes };
      return new RawNetlinkSocket(NETLINK_NETFILTER, {
        ...size,
        messagePeeking: false,
        msgBufferSize: RECEIVE_BYTES,
      });
    });
    const life = attend(socket, events);
    return {
      send: (bytes, done) =>
        socket.send(
          bytes,
          {},
          (error) => life.heard() && done(error === undefined ? 0 : -Math.abs(error.errno)),
        ),
      sendBufferBytes: socket.getSendBufferSize(),
      receiveBufferBytes: socket.getRecvBufferSize(),
      hold: (held) => (held ? socket.ref() : socket.unref()),
      close: life.close,
    };
  };
}

/** A socket that hears what `program`, a classic BPF program, lets through of a multicast group. */
export type OpenEvents = (
  program: Uint8Array<ArrayBuffer>,
  group: number,
  events: SocketEvents,
) => { readonly close: () => void };

/** An event that is longer is cut off; what matters of it is shorter. */
const EVENT_BYTES = 256;

/** The kernel's default for a socket: some hundred events, of which only the last matters for what is asked next. */
const EVENT_BUFFER_BYTES = 212_992;

/** What opens sockets for events; throws `NetlinkUnavailable` if an addon is missing. */
export async function loadEvents(): Promise<OpenEvents> {
  const { RawNetlinkSocket } = await importAddon();
  const restrict = loadFilter();
  return (program, group, events) => {
    const buffers = { sendBufferSize: EVENT_BUFFER_BYTES, recvBufferSize: EVENT_BUFFER_BYTES };
    const size = { ...buffers, messagePeeking: false, msgBufferSize: EVENT_BYTES };
    const socket = attempt("netlink socket", () => new RawNetlinkSocket(NETLINK_NETFILTER, size));
    const life = attend(socket, events);
    try {
      // Restricted first: what the group has to tell could overflow the buffer before, and end the process.
      const errno = restrict(socket.address().port, Buffer.from(program.buffer));
      if (errno !== 0) throw kernelFailure(errno, "restricting a netlink socket to commits");
      attempt("listening to nf_tables", () => socket.addMembership(group));
      return { close: life.close };
    } catch (error) {
      life.close();
      throw error;
    }
  };
}

type Socket = InstanceType<Awaited<ReturnType<typeof importAddon>>["RawNetlinkSocket"]>;

/** Passes on what a socket hears until it is closed. */
function attend(socket: Socket, events: SocketEvents) {
  let heard = true;
  socket.on("message", (bytes) => heard && events.message(bytes));
  socket.on("error", (error) => heard && events.lost(error));
  // A program may end while its socket is idle.
  socket.unref();
  return {
    heard: () => heard,
    close: () => {
      heard = false;
      // Not at once: whoever closes may do so while the addon calls back, and then it aborts the process.
      setImmediate(() => socket.close());
    },
  };
}

type Restrict = (port: number, program: Buffer) => number;

function loadFilter(): Restrict {
  const addon = { exports: {} as { restrict: Restrict } };
  try {
    process.dlopen(addon, `${__dirname}/netlink-filter-${process.platform}-${process.arch}.node`);
  } catch (error) {
    throw new NetlinkUnavailable(`${process.platform}-${process.arch}`, error, "netlink-filter");
  }
  return addon.exports.restrict;
}

async function importAddon() {
  try {
    return await import("netlink/dist/raw.js");
  } catch (error) {
    throw new NetlinkUnavailable(`${process.platform}-${process.arch}`, error);
  }
}

/** The addon's errors have the kernel's number. */
function attempt<T>(what: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof Error && "errno" in error && typeof error.errno === "number")
      throw kernelFailure(-Math.abs(error.errno), what);
    throw error;
  }
}

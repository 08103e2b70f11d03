/**
 * Sits in front of an HTTP server and lets one request head through for each connection: no body, no second request.
 * Node's own bounds are not enough for a server on the thread that keeps the rules. `maxRequestsPerSocket` still makes
 * objects for all 2,400 requests that fit into one packet's buffer (measured: the loop waits 20 to 200 ms),
 * `maxConnections` turns newcomers away, so that a few idle clients keep the kubelet's probe out, and timeouts start
 * again with every byte.
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { isLoopback } from "./address.ts";

export interface GateLimits {
  readonly connections: number;
  /** After its request a connection has this long for the reply. */
  readonly graceMs: number;
  /** However busy, a connection ends after this long. */
  readonly lifetimeMs: number;
  /** The most bytes of a head. The HTTP server's own limit must be lower, or it waits for the end of the head. */
  readonly headBytes: number;
}

const END_OF_HEAD = "\r\n\r\n";

export interface Gate {
  /** Listens in the place of the HTTP server, which must not. */
  readonly server: Server;
  /** Stops listening, and ends open connections. */
  readonly close: () => void;
}

/** Lets the HTTP server see no more than the limits allow. */
export function gate(http: HttpServer, { connections, graceMs, lifetimeMs, headBytes }: GateLimits): Gate {
  const inTurn = createQueue();
  // Both keep the order of arrival: connections without a request yet, and the arrival times of the others.
  const silent = new Set<Socket>();
  const asked = new Map<Socket, number>();
  const forget = (socket: Socket) => silent.delete(socket) || asked.delete(socket);
  const makeRoom = (now: number): boolean => {
    if (silent.size + asked.size < connections) return true;
    // An honest client sends its request at once: we can spare the oldest one that has not, however many come.
    const [quiet] = silent;
    const [oldest] = asked;
    const spared = quiet ?? (oldest !== undefined && now - oldest[1] >= graceMs ? oldest[0] : undefined);
    if (spared === undefined) return false;
    forget(spared);
    spared.destroy();
    return true;
  };
  const server = createServer((socket) => {
    // A client that goes away is not our error.
    socket.on("error", () => {});
    const now = performance.now();
    if (!isFromWhereItSeems(socket) || !makeRoom(now)) {
      socket.destroy();
      return;
    }
    silent.add(socket);
    const timer = setTimeout(() => socket.destroy(), lifetimeMs);
    socket.once("close", () => {
      clearTimeout(timer);
      forget(socket);
    });
    onceHead(socket, headBytes, (head) => {
      if (silent.delete(socket)) asked.set(socket, now);
      inTurn(() => socket.destroyed || http.emit("connection", streamOf(head, socket)));
    });
  });
  const close = () => {
    server.close();
    for (const socket of [...silent, ...asked.keys()]) socket.destroy();
  };
  return { server, close };
}

/** Does one thing in each turn of the event loop: a hundred requests at once must not keep it for 100 ms. */
function createQueue(): (work: () => unknown) => void {
  const waiting: (() => unknown)[] = [];
  const next = () => {
    try {
      waiting[0]?.();
    } finally {
      waiting.shift();
      if (waiting.length > 0) setImmediate(next);
    }
  };
  return (work) => {
    if (waiting.push(work) === 1) setImmediate(next);
  };
}

/**
 * With `net.ipv4.conf.*.route_localnet`, which kube-proxy may set, pods and neighbours reach a loopback address, but
 * not from one. A server that listens there does not expect them.
 */
function isFromWhereItSeems({ localAddress = "", remoteAddress = "" }: Socket): boolean {
  return !isLoopback(localAddress) || isLoopback(remoteAddress);
}

/** Reads up to the end of the first head, or to the limit, and no further. */
function onceHead(socket: Socket, atMost: number, use: (head: Buffer) => void): void {
  let read = Buffer.alloc(0);
  const take = (chunk: Buffer) => {
    read = Buffer.concat([read, chunk.subarray(0, atMost - read.length)]);
    const end = read.indexOf(END_OF_HEAD);
    if (end < 0 && read.length < atMost) return;
    socket.off("data", take).pause();
    use(end < 0 ? read : read.subarray(0, end + END_OF_HEAD.length));
  };
  socket.on("data", take);
}

/** The stream that the HTTP server takes for the connection: there is nothing to read after the head. */
function streamOf(head: Buffer, socket: Socket): Duplex {
  const stream = new Duplex({
    read: () => {},
    write: (chunk, _encoding, done) => void socket.write(chunk, done),
    final: (done) => {
      socket.end(() => {
        done();
        // Do not wait for the rest of the input.
        socket.destroy();
      });
    },
    destroy: (_error, done) => {
      socket.destroy();
      done(null);
    },
  });
  socket.once("close", () => stream.destroy());
  stream.push(head);
  return stream;
}

/**
 * The process in the pod: sends bursts of UDP packets, each a flow of its own, through one node after another, and returns
 * how long a packet of each burst took.
 *
 * A packet's whole way happens within its system call: a veth device queues it for the softirq of the same processor, which
 * runs before the call returns, through the node's forwarding, connection tracking and NAT to the device in the world.
 * So the time of a loop of calls is the cost of the flows, plus that of the calls, which is measured on a way around the nodes.
 */
import { createSocket, type Socket } from "node:dgram";
import { setPriority } from "node:os";
import { destinationNetwork, type Position } from "./lists.ts";
import { serveTask } from "./task.ts";

/** Measures all ways in turn, again and again. */
export interface SendRequest {
  readonly position: Position;
  readonly count: number;
  /** The pod's addresses; each leads through another node. */
  readonly sources: readonly string[];
  readonly budgetMs: number;
}

/** For each way: nanoseconds a packet, one number for each burst; and how many packets were sent in all. */
export interface SendReply {
  readonly bursts: readonly (readonly number[])[];
  readonly sent: readonly number[];
}

interface Way {
  readonly socket: Socket;
  /** Packets in a burst that is measured. */
  packets: number;
  sent: number;
  bursts: number[];
}

/** Short enough to fit between two turns of the scheduler. */
const BURST_NS = 800_000;
const MOST_PACKETS = 100;
const FEWEST_PACKETS = 4;
/** Before each burst: the way before has left the caches to itself. */
const WARM_UP = 4;
const FEWEST_ROUNDS = 40;

const payload = Buffer.from("x");
/** Numbers the flows: ports, then hosts of the network. Both directions of a flow are forgotten before the numbers return. */
let flows = 0;

/** Serves requests from within the pod. */
export function sender(): Promise<void> {
  // Other work of the machine should not interrupt a burst.
  setPriority(-10);
  const sockets = new Map<string, Socket>();
  return serveTask<SendRequest>(async (request): Promise<SendReply> => {
    const ways: Way[] = [];
    for (const source of request.sources) {
      const socket = sockets.get(source) ?? (await openSocket({ address: source }));
      sockets.set(source, socket);
      ways.push({ socket, packets: FEWEST_PACKETS, sent: 0, bursts: [] });
    }
    await measure(request, ways);
    return { bursts: ways.map((way) => way.bursts), sent: ways.map((way) => way.sent) };
  });
}

/** Addresses are looked up at once, not in a later turn of the event loop: then a packet is sent within `send`. */
export function openSocket(own: { readonly address: string; readonly port?: number }): Promise<Socket> {
  const socket = createSocket({ type: "udp4", lookup: (host, _options, done) => done(null, host, 4) });
  return new Promise((resolve, reject) => {
    socket.once("error", reject).bind(own, () => resolve(socket));
  });
}

async function measure(request: SendRequest, ways: readonly Way[]): Promise<void> {
  for (const way of ways) way.packets = packetsFor(burst(way, request));
  const startedAt = performance.now();
  for (let round = 0; round < FEWEST_ROUNDS || performance.now() - startedAt < request.budgetMs; round++) {
    // A way's place in the round changes, since what comes before a burst has an influence on it.
    for (let i = 0; i < ways.length; i++) {
      const way = ways[(round + i) % ways.length] as Way;
      way.bursts.push(burst(way, request));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function packetsFor(ns: number): number {
  return Math.max(FEWEST_PACKETS, Math.min(MOST_PACKETS, Math.round(BURST_NS / ns)));
}

/** Nanoseconds a packet. */
function burst(way: Way, { position, count }: SendRequest): number {
  const ends = Array.from({ length: WARM_UP + way.packets }, () => nextEnd(position, count));
  way.sent += ends.length;
  send(way.socket, ends.slice(0, WARM_UP));
  const measured = ends.slice(WARM_UP);
  const startedAt = process.hrtime.bigint();
  send(way.socket, measured);
  return Number(process.hrtime.bigint() - startedAt) / measured.length;
}

function nextEnd(position: Position, count: number): { readonly address: string; readonly port: number } {
  flows++;
  const host = 1 + (Math.floor(flows / 60_000) % 254);
  return { address: `${destinationNetwork(position, count)}.${host}`, port: 1 + (flows % 60_000) };
}

function send(socket: Socket, ends: readonly ReturnType<typeof nextEnd>[]): void {
  for (const { address, port } of ends) socket.send(payload, port, address);
}

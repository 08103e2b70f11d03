/**
 * What runs in each namespace of a lab of packets, as a process of its own: makes flows of one UDP datagram each, and notes where
 * those that arrive seem to come from. Takes one line of JSON per command on stdin, prints one line of JSON per answer, and ends
 * with its stdin.
 */
import { createSocket, type Socket } from "node:dgram";
import { createInterface } from "node:readline";
import { REUSE_MS, SAMPLES, type Sent, sendPaced } from "./pace.ts";

/** A flow to make. */
export interface FlowToMake {
  readonly source?: string | undefined;
  /** Absent: a port that was not used for long. */
  readonly sourcePort?: number | undefined;
  readonly destination: string;
  /** Absent: one of those that the receivers listen at. */
  readonly port?: number | undefined;
}

export type ProbeCommand =
  | {
      readonly command: "probe";
      readonly id: number;
      readonly flows: readonly (FlowToMake & { index: number })[];
    }
  | {
      readonly command: "stream";
      readonly flows: readonly (FlowToMake & { index: number })[];
      readonly perSecond: number;
    }
  /** The addresses that each flow of a stream may be seen with. */
  | { readonly command: "expect"; readonly addresses: readonly (readonly string[])[] }
  | { readonly command: "stop" }
  | { readonly command: "report" };

/** A probe's flow arrived. */
export interface ProbeArrival {
  readonly kind: "arrival";
  readonly id: number;
  readonly index: number;
  readonly address: string;
  readonly port: number;
  /** The source in the tunnel, if it came through one. */
  readonly inner?: string;
  /** The source port as its sender knows it. */
  readonly sentFrom: number;
}

/** What a stream came to, as its sender and as its receivers know it. */
export interface StreamEnd extends Sent {
  readonly kind: "sent";
}
export interface StreamTally {
  readonly kind: "tally";
  readonly received: number;
  readonly wrong: number;
  readonly samples: readonly string[];
}

/** Receivers listen at so many ports, so that one source port serves for as many flows. */
const FIRST_PORT = 7_100;
const PORTS = 64;
/** A tunnel's. */
const TUNNEL_PORT = 4_789;
/** UDP's and VXLAN's header, and Ethernet's. */
const INNER_AT = 8 + 14;
const SOCKETS = 32;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

let ports = 0;
let expected: readonly (readonly string[])[] = [];
let tally = { received: 0, wrong: 0, samples: [] as string[] };
let isStopped = true;

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function typeOf(address: string): "udp4" | "udp6" {
  return address.includes(":") ? "udp6" : "udp4";
}

function bind(
  type: "udp4" | "udp6",
  { address, port = 0 }: { readonly address?: string | undefined; readonly port?: number | undefined },
  recvBufferSize = 0,
): Promise<Socket> {
  // Destinations are addresses, never names.
  const lookup = (host: string, _options: unknown, done: (e: null, a: string, f: number) => void) =>
    done(null, host, type === "udp4" ? 4 : 6);
  const socket = createSocket({ type, ipv6Only: type === "udp6", lookup: lookup as never, recvBufferSize });
  const where = { port, ...(address === undefined ? {} : { address }) };
  return new Promise((resolve, reject) => {
    socket.once("error", reject).bind(where, () => resolve(socket));
  });
}

function hear(message: Buffer, peer: { address: string; port: number }, to: number): void {
  const text = message.toString("latin1");
  const [, kind, first, second, third] = /(probe|stream) (\d+) ?(\d*) ?(\d*)$/.exec(text) ?? [];
  if (kind === "probe") {
    const inner = to === TUNNEL_PORT ? { inner: innerSource(message) } : {};
    const answer = { id: Number(first), index: Number(second), sentFrom: Number(third) };
    print({ kind: "arrival", ...answer, ...peerOf(peer), ...inner } satisfies ProbeArrival);
    return;
  }
  if (kind !== "stream") return;
  tally.received++;
  if (expected[Number(first)]?.includes(peer.address) === true) return;
  tally.wrong++;
  if (tally.samples.length < SAMPLES)
    tally.samples.push(`flow ${first} seen as ${peer.address} at port ${to}`);
}

function peerOf({ address, port }: { address: string; port: number }) {
  return { address, port };
}

/** The source in the header after VXLAN's and Ethernet's. */
function innerSource(message: Buffer): string {
  const packet = message.subarray(INNER_AT);
  if ((packet[0] ?? 0) >> 4 === 4) return [...packet.subarray(12, 16)].join(".");
  const groups = Array.from({ length: 8 }, (_, i) => packet.readUInt16BE(8 + 2 * i).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

async function listen(): Promise<void> {
  for (const type of ["udp4", "udp6"] as const)
    for (const port of [...Array.from({ length: PORTS }, (_, i) => FIRST_PORT + i), TUNNEL_PORT]) {
      // Where there is a tunnel the kernel listens itself.
      const socket = await bind(type, { port }, RECEIVE_BUFFER_BYTES).catch(() => undefined);
      socket?.on("message", (message, peer) => hear(message, peer, port));
    }
}

function nextPort(): number {
  return FIRST_PORT + (ports++ % PORTS);
}

async function probe({ id, flows }: Extract<ProbeCommand, { command: "probe" }>): Promise<void> {
  for (const { index, source, sourcePort, destination, port } of flows) {
    const socket = await bind(typeOf(destination), { address: source, port: sourcePort });
    const text = `probe ${id} ${index} ${socket.address().port}`;
    // A flow that cannot be sent does not arrive, which is all that the asker wants to know.
    socket.send(text, port ?? nextPort(), destination, () => socket.close());
  }
}

interface Streaming {
  readonly sockets: readonly Socket[];
  readonly flow: FlowToMake & { readonly index: number };
}

async function stream({ flows, perSecond }: Extract<ProbeCommand, { command: "stream" }>): Promise<void> {
  const streams: Streaming[] = [];
  for (const flow of flows) {
    const sockets: Socket[] = [];
    for (let i = 0; i < SOCKETS; i++)
      sockets.push(await bind(typeOf(flow.destination), { address: flow.source }));
    streams.push({ sockets, flow });
  }
  const rate = Math.min(perSecond, (SOCKETS * PORTS * streams.length * 1_000) / REUSE_MS);
  isStopped = false;
  let next = 0;
  let round = 0;
  const sent = await sendPaced(
    rate,
    () => isStopped,
    (done) => {
      const { sockets, flow } = streams[next] as Streaming;
      const port = flow.port ?? FIRST_PORT + (Math.floor(round / SOCKETS) % PORTS);
      sockets[round % SOCKETS]?.send(`stream ${flow.index}`, port, flow.destination, done);
      next = (next + 1) % streams.length;
      if (next === 0) round++;
    },
  );
  for (const { sockets } of streams) for (const socket of sockets) socket.close();
  print({ kind: "sent", ...sent } satisfies StreamEnd);
}

function obey(command: ProbeCommand): void {
  if (command.command === "probe") void probe(command);
  else if (command.command === "stream") void stream(command);
  else if (command.command === "stop") isStopped = true;
  else if (command.command === "expect") expected = command.addresses;
  else {
    print({ kind: "tally", ...tally } satisfies StreamTally);
    tally = { received: 0, wrong: 0, samples: [] };
  }
}

process.stdin.on("close", () => process.exit(0));
createInterface({ input: process.stdin }).on("line", (line) => obey(JSON.parse(line) as ProbeCommand));
void listen().then(() => print("ready"));

/**
 * What runs inside the namespaces, as processes of its own, where far more flows are wanted than ask and answer
 * allow: `sender` makes flows of one UDP datagram each, `receiver` notes their sources. Nothing is answered, so any
 * address at all can be asked, and tens of thousands of flows a second are made on one core.
 *
 * Both take one line of JSON per command on stdin, and print one line of JSON per answer. They end with their stdin.
 */
import { createSocket, type Socket } from "node:dgram";
import { createInterface } from "node:readline";
import { REUSE_MS, SAMPLES, type Sent, sendPaced } from "./pace.ts";
import { NODE, POD } from "./topology.ts";

/** Whose address a receiver is to see. */
export type Sender = "pod" | "node";

export type SenderCommand =
  /** Each an address, with a port behind a space if it matters. Answered once all are sent. */
  | { readonly command: "probe"; readonly id: number; readonly destinations: readonly string[] }
  | {
      readonly command: "stream";
      readonly expected: readonly (readonly [string, Sender])[];
      readonly perSecond: number;
    }
  | { readonly command: "stop" };

export type ReceiverCommand =
  | { readonly command: "report" }
  /** Answered with its number once what came before it is read. */
  | { readonly command: "echo"; readonly id: number };

/** One flow of a probe arrived. */
export interface Arrival {
  readonly kind: "arrival";
  readonly id: number;
  readonly index: number;
  readonly address: string;
  readonly port: number;
  /** The port at which it arrived. */
  readonly to: number;
}

/** What a stream came to, as its sender and as its receiver know it. */
export interface StreamEnd extends Sent {
  readonly kind: "sent";
}
export interface Tally {
  readonly kind: "tally";
  readonly received: number;
  readonly wrong: number;
  /** Some of what was wrong. */
  readonly samples: readonly string[];
}

/** All that the processes say: `ready` once, and `probed` when the flows of a probe are on their way. */
export type Answer =
  | Arrival
  | StreamEnd
  | Tally
  | { readonly kind: "echo"; readonly id: number }
  | { readonly kind: "ready" | "probed" };

/** A flow is new if its ports and destination were not used together for as long as the node remembers a flow. */
const FIRST_PORT = 7_100;
const PORTS = 64;
const SOCKETS = 64;
const FIRST_SOURCE_PORT = 10_000;

const FAMILIES = ["udp4", "udp6"] as const;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

function typeOf(address: string): (typeof FAMILIES)[number] {
  return address.includes(":") ? "udp6" : "udp4";
}

function bind(type: (typeof FAMILIES)[number], port: number, recvBufferSize: number): Promise<Socket> {
  // Destinations are addresses, never names: what Node would do to resolve them takes longer than to send.
  const lookup = (host: string, _options: unknown, done: (e: null, a: string, f: number) => void) =>
    done(null, host, type === "udp4" ? 4 : 6);
  const socket = createSocket({ type, ipv6Only: type === "udp6", lookup: lookup as never, recvBufferSize });
  return new Promise((resolve, reject) => {
    socket.once("error", reject).bind(port, () => resolve(socket));
  });
}

function print(answer: Answer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function onCommand<T>(listener: (command: T) => void): void {
  process.stdin.on("close", () => process.exit(0));
  createInterface({ input: process.stdin }).on("line", (line) => listener(JSON.parse(line) as T));
  print({ kind: "ready" });
}

async function receive(): Promise<void> {
  const samples: string[] = [];
  let received = 0;
  let wrong = 0;
  const hear = (text: string, to: number, { address, port }: { address: string; port: number }) => {
    const [kind, a = "", b = ""] = text.split(" ");
    if (kind === "probe")
      return print({ kind: "arrival", id: Number(a), index: Number(b), address, port, to });
    received++;
    const addresses = a === "pod" ? POD : NODE;
    if (address === addresses[typeOf(b) === "udp4" ? "IPv4" : "IPv6"]) return;
    wrong++;
    if (samples.length < SAMPLES) samples.push(`${b} saw ${address} and not the ${a}'s address`);
  };
  for (const type of FAMILIES) {
    for (let i = 0; i < PORTS; i++) {
      const socket = await bind(type, FIRST_PORT + i, RECEIVE_BUFFER_BYTES);
      socket.on("message", (message, peer) => hear(message.toString("latin1"), FIRST_PORT + i, peer));
    }
  }
  onCommand<ReceiverCommand>((command) => {
    if (command.command === "echo") return print({ kind: "echo", id: command.id });
    print({ kind: "tally", received, wrong, samples });
    received = 0;
    wrong = 0;
    samples.length = 0;
  });
}

async function send(): Promise<void> {
  const sockets: Record<(typeof FAMILIES)[number], Socket[]> = { udp4: [], udp6: [] };
  for (const type of FAMILIES)
    for (let i = 0; i < SOCKETS; i++) sockets[type].push(await bind(type, FIRST_SOURCE_PORT + i, 0));
  let flows = 0;
  /** With as many steps as there are pairs of ports, no pair is used twice. */
  const flow = (text: string, destination: string, done: (error: Error | null) => void) => {
    const [address = "", given] = destination.split(" ");
    const socket = sockets[typeOf(address)][flows % SOCKETS] as Socket;
    const port = FIRST_PORT + (Math.floor(flows / SOCKETS) % PORTS);
    socket.send(text, given === undefined ? port : Number(given), address, done);
  };
  let stopped = true;

  const probe = ({ id, destinations }: Extract<SenderCommand, { command: "probe" }>) => {
    let left = destinations.length;
    for (const [index, destination] of destinations.entries()) {
      // What cannot be sent does not arrive, which is all that the asker wants to know.
      flow(`probe ${id} ${index}`, destination, () => {
        if (--left === 0) print({ kind: "probed" });
      });
      flows++;
    }
  };

  const stream = async ({ expected, perSecond }: Extract<SenderCommand, { command: "stream" }>) => {
    const payloads = expected.map(
      ([destination, who]) => [destination, `stream ${who} ${destination}`] as const,
    );
    const rate = Math.min(perSecond, (SOCKETS * PORTS * payloads.length * 1_000) / REUSE_MS);
    stopped = false;
    let next = 0;
    const sent = await sendPaced(
      rate,
      () => stopped,
      (done) => {
        const [destination = "", payload = ""] = payloads[next] ?? [];
        flow(payload, destination, done);
        next = (next + 1) % payloads.length;
        // All destinations have had this pair of ports.
        if (next === 0) flows++;
      },
    );
    print({ kind: "sent", ...sent });
  };

  onCommand<SenderCommand>((command) => {
    if (command.command === "probe") probe(command);
    else if (command.command === "stream") void stream(command);
    else stopped = true;
  });
}

if (process.argv[2] === "receiver") void receive();
else void send();

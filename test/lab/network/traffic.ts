/**
 * What runs inside the namespaces, as a process of its own: `receiver` answers each TCP connection and each
 * UDP datagram with the source address and port it saw; `client` makes flows by commands on stdin, one line
 * of JSON each, and prints what came back. Both end with their stdin, so that they never outlive who started them.
 */
import { createSocket } from "node:dgram";
import { createConnection, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { createInterface } from "node:readline";

/** A flow for the client to make. */
export interface Request {
  readonly id: number;
  readonly protocol: "tcp" | "udp";
  readonly destination: string;
  readonly port: number;
  /** The source address, where the kernel's choice would be another. */
  readonly source?: string;
  /** For a flow that goes on from request to request; each has a port of its own otherwise. */
  readonly sourcePort?: number;
  /** How long an answer may take. */
  readonly patienceMs?: number;
  /** How often a datagram without an answer is sent again; absent: never. */
  readonly repeatMs?: number;
}

/** The client's answer: what the receiver saw, as `address port`, or why there was no answer. */
export interface Reply {
  readonly id: number;
  readonly seen?: string;
  readonly error?: string;
}

/** A loaded machine may take long; a lost packet is reported in the end. */
const PATIENCE_MS = 15_000;

/** Source ports are used one after another: a port used again soon would be part of a flow whose verdict is taken. */
const FIRST_PORT = 10_000;
const LAST_PORT = 59_999;
let nextPort = FIRST_PORT;

function nextSourcePort(): number {
  const port = nextPort;
  nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
  return port;
}

/** Listens on every address by itself: a UDP answer has to come from the address that was asked. */
async function receive(port: number): Promise<void> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  // A link-local address of the device could not be bound without naming the device, and nothing asks it.
  const addresses = all.map(({ address }) => address).filter((address) => !address.startsWith("fe80:"));
  await Promise.all(addresses.flatMap((address) => [receiveTcp(address, port), receiveUdp(address, port)]));
  process.stdout.write("ready\n");
}

function receiveTcp(address: string, port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(`${socket.remoteAddress} ${socket.remotePort}`);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, address, 511, resolve);
  });
}

function receiveUdp(address: string, port: number): Promise<void> {
  const socket = createSocket(udpType(address));
  socket.on("message", (_message, peer) =>
    socket.send(`${peer.address} ${peer.port}`, peer.port, peer.address),
  );
  return new Promise((resolve, reject) => {
    socket.once("error", reject).bind(port, address, resolve);
  });
}

function send(): void {
  process.stdout.write("ready\n");
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const request = JSON.parse(line) as Request;
    process.stdout.write(`${JSON.stringify(await answerOf(request))}\n`);
  });
}

async function answerOf(request: Request): Promise<Reply> {
  const ask = request.protocol === "tcp" ? askTcp : askUdp;
  for (;;) {
    try {
      return { id: request.id, seen: await ask(request, request.sourcePort ?? nextSourcePort()) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== "EADDRINUSE") return { id: request.id, error: message };
    }
  }
}

function askTcp(
  { destination, port, source, patienceMs = PATIENCE_MS }: Request,
  localPort: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const localAddress = source === undefined ? {} : { localAddress: source };
    const socket = createConnection({ host: destination, port, localPort, ...localAddress });
    let text = "";
    socket.setTimeout(patienceMs, () => socket.destroy(noAnswer(patienceMs)));
    socket.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    socket.on("end", () => resolve(text)).on("error", reject);
  });
}

function askUdp(
  { destination, port, source, patienceMs = PATIENCE_MS, repeatMs }: Request,
  localPort: number,
): Promise<string> {
  const socket = createSocket(udpType(destination));
  const timers: NodeJS.Timeout[] = [];
  const answer = new Promise<string>((resolve, reject) => {
    timers.push(setTimeout(() => reject(noAnswer(patienceMs)), patienceMs));
    socket.on("message", (message) => resolve(message.toString())).on("error", reject);
    const address = source === undefined ? {} : { address: source };
    const ask = () => socket.send("?", port, destination);
    socket.bind({ port: localPort, ...address }, () => {
      ask();
      if (repeatMs !== undefined) timers.push(setInterval(ask, repeatMs));
    });
  });
  return answer.finally(() => {
    for (const timer of timers) clearTimeout(timer);
    socket.close();
  });
}

function noAnswer(patienceMs: number): Error {
  return new Error(`no answer within ${patienceMs} ms`);
}

function udpType(address: string): "udp4" | "udp6" {
  return address.includes(":") ? "udp6" : "udp4";
}

const [role, port] = process.argv.slice(2);
process.stdin.on("close", () => process.exit(0)).resume();
if (role === "receiver") void receive(Number(port));
else send();

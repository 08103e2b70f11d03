/**
 * TCP connections that have ended, which hold their source ports in TIME_WAIT: real ones through few ports, one after another, towards a
 * server that closes them. How many fail, and how many need a second SYN, depends on the kernel: from about 6.5 on it takes such ports over.
 */
import { spawn } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { inPod, PODS, prepare, REMOTE } from "./ports.ts";
import { createTestbed, type Testbed } from "./testbed.ts";

/** So many connections stay open, and so many are made and end. */
interface Load {
  readonly open: number;
  readonly ended: number;
}

/** What the connections that were made and ended came to. */
interface Made {
  readonly failed: number;
  readonly slow: number;
}

const PORTS = 1_000;
const TO_PORTS = `40000-${40_000 + PORTS - 1}`;
/** A SYN is sent again after a second. */
const SLOW_MS = 900;
const PATIENCE_MS = 10_000;

/** Prints what both loads came to: a fact about the kernel, on which `snat_port_share_open` rests. */
export async function measureEnded(full: boolean): Promise<void> {
  for (const load of loads(full)) {
    const { failed, slow } = await make(load);
    console.log(
      `TCP that ended, ${load.ended} connections through ${PORTS} ports, ${load.open} of them open: ${failed} failed, ${slow} slow`,
    );
  }
}

function loads(full: boolean): readonly Load[] {
  return [
    { open: 0, ended: full ? 20_000 : 1_200 },
    { open: 0.9 * PORTS, ended: full ? 3_000 : 100 },
  ];
}

async function make(load: Load): Promise<Made> {
  const testbed = await createTestbed();
  try {
    const node = await prepare(testbed, [`--to-ports=${TO_PORTS}`], []);
    const world = [...node.prefix.slice(0, -1), node.namespace.replace(/node\d+$/, "world")];
    const [ip = "", ...inWorld] = world;
    const setUp = [
      "link set lo up",
      "addr add 192.0.2.2/24 dev world1",
      `addr add ${REMOTE.address}/32 dev lo`,
    ];
    for (const line of setUp) await inPod({ podPrefix: world }, ["ip", ...line.split(" ")]);
    // The bench's world is not there for anybody; this one answers.
    await node.run("ip", ["neigh", "del", "192.0.2.2", "dev", "eth0"]);
    const server = spawn(ip, [...inWorld, process.execPath, process.argv[1] ?? "", "--server"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(server);
    const made = await client(testbed, load);
    server.kill();
    return made;
  } finally {
    testbed.close();
  }
}

/** The next line of a process' output. */
async function once({ stdout }: { readonly stdout: NodeJS.ReadableStream }): Promise<string> {
  for await (const line of createInterface({ input: stdout })) return line;
  throw new Error("a helper has ended");
}

async function client({ podPrefix }: Testbed, { open, ended }: Load): Promise<Made> {
  const [file = "", ...args] = podPrefix;
  const own = [process.execPath, process.argv[1] ?? "", "--client", String(open), String(ended)];
  const child = spawn(file, [...args, ...own], { stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(await once(child)) as Made;
}

/** Closes what says nothing at once, and keeps what sends a byte. */
export function serverChild(): void {
  createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => (bytes[0] === 0 ? socket.end() : undefined));
  }).listen(REMOTE.port, REMOTE.address, 1_024, () => console.log("listening"));
}

/** Makes connections that stay open, then others that end, each from a pod at random. */
export async function clientChild(open: number, ended: number): Promise<void> {
  const kept: Socket[] = [];
  for (let i = 0; i < open; i++) {
    const { socket } = await dial(1);
    if (socket !== undefined) kept.push(socket);
  }
  let [failed, slow] = [0, 0];
  for (let i = 0; i < ended; i++) {
    const { socket, ms } = await dial(0);
    if (socket === undefined) failed++;
    else if (ms > SLOW_MS) slow++;
    await new Promise((resolve) =>
      socket === undefined ? resolve(undefined) : socket.once("close", resolve).resume(),
    );
  }
  console.log(JSON.stringify({ failed, slow }));
  process.exit(0);
}

/** A connection that says one byte; undefined if there is none in time. */
function dial(byte: number): Promise<{ readonly socket: Socket | undefined; readonly ms: number }> {
  const began = performance.now();
  const localAddress = PODS[Math.floor(Math.random() * PODS.length)] ?? "";
  return new Promise((resolve) => {
    const socket = connect({ host: REMOTE.address, port: REMOTE.port, localAddress });
    const end = (found: Socket | undefined) => resolve({ socket: found, ms: performance.now() - began });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("no answer")));
    socket.once("error", () => end(undefined));
    socket.once("connect", () => {
      socket.setTimeout(0).write(Buffer.of(byte));
      end(socket);
    });
  });
}

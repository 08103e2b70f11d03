/**
 * TCP connections that have ended, which hold their source ports in TIME_WAIT: real ones through few ports, one after another, towards a
 * server that closes them. How many fail, and how many need a second SYN, depends on the kernel: from about 6.5 on it takes such ports over.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { PODS, portsLab } from "./ports.ts";
import type { Run } from "./sides.ts";
import { serveTask, startTask } from "./task.ts";

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
/** An address of the lab's world. */
const REMOTE = { host: "198.51.100.7", port: 443 };
/** A SYN is sent again after a second. */
const SLOW_MS = 900;
const PATIENCE_MS = 10_000;

/** Prints what both loads came to: a fact about the kernel, on which `snat_port_share_open` rests. */
export async function measureEnded({ sides: [side], full }: Run): Promise<void> {
  const loads: readonly Load[] = [
    { open: 0, ended: full ? 20_000 : 1_200 },
    { open: 0.9 * PORTS, ended: full ? 3_000 : 100 },
  ];
  for (const load of loads) {
    const lab = await portsLab(side, [`--to-ports=40000-${40_000 + PORTS - 1}`], {});
    try {
      await startTask(lab.inside("world"), "server");
      const task = await startTask<Load, Made>(lab.inside("pod"), "client");
      const { failed, slow } = await task.ask(load);
      console.log(
        `TCP that ended, ${load.ended} connections through ${PORTS} ports, ${load.open} of them open: ${failed} failed, ${slow} slow`,
      );
    } finally {
      await lab.close();
    }
  }
}

/** Closes what sends a zero, and keeps what sends another byte. */
export async function server(): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => (bytes[0] === 0 ? socket.end() : undefined));
  });
  await once(server.listen({ ...REMOTE, backlog: 1_024 }), "listening");
  await serveTask(() => undefined);
}

/** Makes connections that stay open, then others that end, each from a pod at random. */
export function client(): Promise<void> {
  const kept: (Socket | undefined)[] = [];
  return serveTask<Load>(async ({ open, ended }): Promise<Made> => {
    while (kept.length < open) kept.push((await dial(1)).socket);
    let [failed, slow] = [0, 0];
    for (let i = 0; i < ended; i++) {
      const { socket, ms } = await dial(0);
      if (socket === undefined) failed++;
      else {
        if (ms > SLOW_MS) slow++;
        await new Promise((resolve) => socket.once("close", resolve).resume());
      }
    }
    return { failed, slow };
  });
}

/** A connection that says one byte; undefined if there is none in time. */
function dial(byte: number): Promise<{ readonly socket: Socket | undefined; readonly ms: number }> {
  const began = performance.now();
  const localAddress = PODS[Math.floor(Math.random() * PODS.length)] ?? "";
  return new Promise((resolve) => {
    const socket = connect({ ...REMOTE, localAddress });
    const end = (found: Socket | undefined) => resolve({ socket: found, ms: performance.now() - began });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("no answer")));
    socket.once("error", () => end(undefined));
    socket.once("connect", () => {
      socket.setTimeout(0).write(Buffer.of(byte));
      end(socket);
    });
  });
}

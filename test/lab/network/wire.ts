/**
 * Packets as they come out of the node: who sends streams of them in the pod or on the node, and with which sources they arrive in the
 * world. Python, since Node has no packet sockets and no way to keep a port.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { eventually, type Lab } from "./lab.ts";

/** A packet that has arrived, in milliseconds since 1970. */
export interface Arrival {
  readonly at: number;
  readonly source: string;
  readonly destination: string;
  /** 0 for protocols without ports. */
  readonly destinationPort: number;
}

/** Writes a line for each IP packet that comes in by eth0, with the kernel's time (SO_TIMESTAMPNS): a busy machine reads it late. */
const SNIFFER = `
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.setsockopt(socket.SOL_SOCKET, 35, 1)
s.bind(("eth0", 3))
print("ready", flush=True)
while True:
    data, [(_, _, stamp)], _, (_, kind, way, *_) = s.recvmsg(256, 64)
    seconds, nanoseconds = struct.unpack("qq", stamp)
    if way == 4 or kind not in (0x0800, 0x86DD):
        continue
    v4 = kind == 0x0800
    family, at, size, l4 = (socket.AF_INET, 12, 4, 20) if v4 else (socket.AF_INET6, 8, 16, 40)
    src, dst = (socket.inet_ntop(family, data[i:i + size]) for i in (at, at + size))
    port = struct.unpack("!H", data[l4 + 2:l4 + 4])[0] if data[9 if v4 else 6] in (6, 17) else 0
    print(seconds * 1000 + nanoseconds // 1000000, src, dst, port, flush=True)
`;

/** Sends a datagram from a port every few milliseconds, to each destination, from an address if one is given; answers are dropped. */
const UDP = `
import socket, sys, time
every, port, *targets = sys.argv[1:]
sockets = []
for target in targets:
    target, _, own = target.partition("@")
    host, _, to = target.rpartition("#")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((own, int(port)))
    s.connect((host, int(to)))
    s.setblocking(False)
    sockets.append(s)
print("ready", flush=True)
while True:
    for s in sockets:
        for act in (lambda: s.send(b"x"), lambda: s.recv(64)):
            try:
                act()
            except OSError:
                pass
    time.sleep(float(every) / 1000)
`;

/** Sends the same echo request every 50 ms. */
const PING = `
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    s.sendto(struct.pack("!BBHHH", 8, 0, 0xF7B1, 77, 1), (sys.argv[1], 0))
    time.sleep(0.05)
`;

/** Echoes what TCP connections send. */
const ECHO = `
import socket, sys, threading
def serve(c):
    try:
        while True:
            c.sendall(c.recv(64) or sys.exit())
    except OSError:
        pass
s = socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`;

/** Has a byte echoed every five milliseconds, until that fails; tells why and when. */
const TALK = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
s.settimeout(60)
print("ready", flush=True)
try:
    while True:
        s.sendall(b"x")
        if not s.recv(64):
            raise OSError("ended")
        time.sleep(0.005)
except OSError as error:
    print(int(time.time() * 1000), type(error).__name__, flush=True)
`;

type Place = Parameters<Lab["inside"]>[0];

export interface Stream {
  readonly stop: () => void;
}

export interface Wire {
  /** Everything that has arrived so far, oldest first. */
  readonly arrivals: readonly Arrival[];
  /** The sources seen at a destination's port since a moment. */
  readonly sourcesSince: (at: number, destinationPort: number, destination?: string) => readonly string[];
  /** The sources of so many packets that arrive there from now on. One that was on its way does not count. */
  readonly next: (
    destinationPort: number,
    destination?: string,
    count?: number,
  ) => Promise<readonly string[]>;
  /** The source of the newest packet to each destination at a port, of those that have arrived since a moment. */
  readonly newest: (destinationPort: number, since?: number, destination?: string) => readonly string[];
  /** Datagrams from one port, every `everyMs`, to addresses with ports (`8.8.8.8#9`, `8.8.8.8#9@10.1.1.2` with its source). */
  readonly udp: (from: Place, port: number, everyMs: number, ...to: readonly string[]) => Promise<Stream>;
  /** Echo requests of the pod, all of one flow. */
  readonly ping: (destination: string) => Promise<Stream>;
  readonly echo: (port: number) => Promise<Stream>;
  /** A TCP connection of the pod that talks to an echo until it fails: why, and when. */
  readonly talk: (
    destination: string,
    port: number,
  ) => Promise<{ readonly ended: Promise<{ readonly at: number; readonly why: string }> }>;
  readonly stop: () => void;
}

/** Begins to watch what arrives in the world. */
export async function createWire(lab: Lab): Promise<Wire> {
  const children = new Set<ChildProcess>();
  const start = async (place: Place, script: string, ...args: readonly string[]) => {
    const [file = "", ...rest] = lab.inside(place, "python3", "-c", script, ...args);
    const child = spawn(file, rest, { stdio: ["ignore", "pipe", "inherit"] });
    children.add(child);
    const lines = createInterface({ input: child.stdout });
    await new Promise<void>((resolve, reject) => {
      lines.once("line", () => resolve());
      child.once("exit", (code) => reject(new Error(`python3 has ended: ${code}`)));
    });
    return { lines, stop: () => void child.kill("SIGKILL") };
  };
  const arrivals: Arrival[] = [];
  const sniffer = await start("world", SNIFFER);
  sniffer.lines.on("line", (line) => {
    const [at = "", source = "", destination = "", port] = line.split(" ");
    arrivals.push({ at: Number(at), source, destination, destinationPort: Number(port) });
  });
  const since = (at: number, destinationPort: number, destination?: string) =>
    arrivals.filter(
      (one) =>
        one.at >= at &&
        one.destinationPort === destinationPort &&
        (destination === undefined || one.destination === destination),
    );
  const sources = (some: readonly Arrival[]) => [...new Set(some.map(({ source }) => source))].sort();
  return {
    arrivals,
    sourcesSince: (...where) => sources(since(...where)),
    next(destinationPort, destination, count = 10) {
      const now = Date.now();
      return eventually(() => {
        const [, ...some] = since(now, destinationPort, destination);
        if (some.length < count) throw new Error(`${some.length} packets at port ${destinationPort}`);
        return sources(some);
      });
    },
    newest: (destinationPort, at = 0, destination) => [
      ...new Map(
        since(at, destinationPort, destination).map((one) => [one.destination, one.source]),
      ).values(),
    ],
    udp: (from, port, everyMs, ...to) => start(from, UDP, String(everyMs), String(port), ...to),
    ping: (destination) => start("pod", PING, destination),
    echo: (port) => start("world", ECHO, String(port)),
    async talk(destination, port) {
      const { lines } = await start("pod", TALK, destination, String(port));
      const ended = new Promise<{ at: number; why: string }>((resolve) =>
        lines.once("line", (line) => {
          const [at = "", why = ""] = line.split(" ");
          resolve({ at: Number(at), why });
        }),
      );
      return { ended };
    },
    stop() {
      for (const child of children) child.kill("SIGKILL");
    },
  };
}

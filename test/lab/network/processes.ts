/** Processes that live as long as a lab: the agent, and the helpers that make and answer flows. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Reply, Request } from "./traffic.ts";

/** How a process ended: its exit code, or the signal that ended it. */
type Ending = number | NodeJS.Signals;

/** A running agent. */
export interface Agent {
  /** The process itself: `ip netns exec` becomes what it starts. */
  readonly pid: number;
  /** What it has logged so far. */
  readonly log: () => string;
  /** Resolves when it logs more, or ends. One at a time may wait. */
  readonly more: () => Promise<void>;
  readonly ended: Promise<Ending>;
  /** Sends a signal and waits for the end. */
  readonly end: (signal?: NodeJS.Signals) => Promise<Ending>;
}

/** Makes flows from within one namespace. */
export interface Client {
  readonly flow: (request: Omit<Request, "id" | "port">) => Promise<Seen>;
}

/** What a receiver saw as the source of a flow. */
export interface Seen {
  readonly address: string;
  readonly port: number;
}

/** Where receivers listen. */
const PORT = 7_000;

/** Starts processes through a command prefix and remembers them. */
export interface Processes {
  readonly startAgent: (prefix: readonly string[], env: NodeJS.ProcessEnv) => Agent;
  readonly startClient: (prefix: readonly string[]) => Promise<Client>;
  readonly startReceiver: (prefix: readonly string[]) => Promise<void>;
  /** Ends them all; they are gone once the promise resolves. */
  readonly end: () => Promise<void>;
  /** The same without a chance to wait. */
  readonly kill: () => void;
}

/** No processes yet. */
export function createProcesses(): Processes {
  const children = new Map<ChildProcess, Promise<Ending>>();
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = process.env) => {
    const [file = "", ...rest] = args;
    const child = spawn(file, rest, { env, stdio: ["pipe", "pipe", "pipe"] });
    children.set(child, endingOf(child));
    // A process that has ended does not read its input; its end is noticed otherwise.
    child.stdin.on("error", () => {});
    return child;
  };
  const kill = () => {
    for (const child of children.keys()) child.kill("SIGKILL");
  };
  return {
    startAgent: (prefix, env) => {
      const child = start(prefix, env);
      return agentOf(child, children.get(child) as Promise<Ending>);
    },
    startClient: async (prefix) => {
      const child = start([...prefix, "client"]);
      await ready(child);
      return clientOf(child);
    },
    startReceiver: async (prefix) => ready(start([...prefix, "receiver", String(PORT)])),
    end: async () => {
      kill();
      await Promise.all(children.values());
    },
    kill,
  };
}

function endingOf(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve) => {
    // Not "close": a tool that the agent has left behind may hold the pipes a little longer. But a round of the event loop later, in
    // which its last words are read.
    child.on("exit", (code, signal) => setImmediate(() => setImmediate(resolve, code ?? signal ?? -1)));
    child.on("error", () => resolve(-1));
  });
}

function agentOf(child: ChildProcess, ended: Promise<Ending>): Agent {
  let log = "";
  let hear = () => {};
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      log += chunk;
      hear();
    });
  void ended.then(() => hear());
  const more = () =>
    new Promise<void>((resolve) => {
      hear = resolve;
    });
  const end = (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
    return ended;
  };
  return { pid: child.pid ?? -1, log: () => log, more, ended, end };
}

/** Resolves with the first line, which says that the helper is ready. */
function ready(child: ChildProcess): Promise<void> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    complaint += chunk;
  });
  return new Promise((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("close", () => reject(new Error(`a helper ended before it was ready: ${complaint}`)));
    child.once("error", reject);
  });
}

const ENDED = "the client has ended";

function clientOf(child: ChildProcess): Client {
  const waiting = new Map<number, (reply: Reply) => void>();
  const settle = (reply: Reply) => {
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  };
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
    settle(JSON.parse(line) as Reply),
  );
  child.on("exit", () => {
    for (const id of waiting.keys()) settle({ id, error: ENDED });
  });
  let id = 0;
  return {
    async flow(request) {
      const numbered: Request = { ...request, id: ++id, port: PORT };
      const reply = new Promise<Reply>((resolve) => waiting.set(numbered.id, resolve));
      if (child.exitCode !== null || child.signalCode !== null) settle({ id, error: ENDED });
      else child.stdin?.write(`${JSON.stringify(numbered)}\n`);
      return parseReply(request, await reply);
    },
  };
}

function parseReply({ protocol, destination }: Omit<Request, "id" | "port">, { seen, error }: Reply): Seen {
  if (seen === undefined) throw new Error(`${protocol} to ${destination}: ${error}`);
  const [address = "", port = ""] = seen.split(" ");
  return { address, port: Number(port) };
}

/**
 * A lab: three network namespaces, an agent in the middle one, and flows through it whose source address tells
 * the verdict. Used by the demo, by `make bench` and by the tests against the real kernel. It leaves nothing behind (remains.ts).
 */
import { accessSync, constants, existsSync, mkdtempSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { attempt, type CommandResult } from "../command.ts";
import { runHere } from "./commands.ts";
import { canEnter, inNamespace } from "./enter.ts";
import { helperScript } from "./helper.ts";
import { createIptables, type Family, type Iptables, type Variant } from "./iptables.ts";
import { type Agent, type Client, createProcesses, type Seen } from "./processes.ts";
import { atTheEnd, PREFIX, removeLeftovers, removeNow } from "./remains.ts";
import { buildTopology, type Namespaces, NODE, NODE_TOWARDS_POD } from "./topology.ts";
import { createVolume, type Volume } from "./volume.ts";

export interface AgentOptions {
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Put before the agent's command line, such as `setpriv` with its options. */
  readonly wrapper?: readonly string[];
  /** Another Node than the one that runs the test. */
  readonly node?: string;
  /** Another bundle than the one under test, such as a copy without what lies beside it. */
  readonly bundle?: string;
}

export interface ProgramOptions {
  readonly stdin?: string;
  /** Where tools are looked for. */
  readonly path?: string;
}

export interface Lab {
  /** A directory of the lab's own, for what a test needs. */
  readonly directory: string;
  /** The agent's configuration, as a ConfigMap volume. */
  readonly volume: Volume;
  /** Starts an agent in the node. */
  readonly startAgent: (options?: AgentOptions) => Agent;
  /** A new flow from the pod: the source that the receiver saw. Where an answer may be lost, `patienceMs` says how long it may take. */
  readonly flow: (protocol: "tcp" | "udp", destination: string, patienceMs?: number) => Promise<Seen>;
  /** Only the address of it. */
  readonly ask: (protocol: "tcp" | "udp", destination: string, patienceMs?: number) => Promise<string>;
  /** A new flow from the node's address towards the world to its own address towards the pod. */
  readonly askNodeItself: (protocol: "tcp" | "udp", family: Family) => Promise<string>;
  /** The node's packet filter; without a variant, `iptables` as found in PATH. */
  readonly iptables: (variant?: Variant, family?: Family) => Iptables;
  /** Runs a command in the node. */
  readonly inNode: (file: string, args: readonly string[], stdin?: string) => Promise<CommandResult>;
  /** Runs one of our commands in the node: its name and arguments. It shares a process with others. */
  readonly program: (args: readonly string[], options?: ProgramOptions) => Promise<CommandResult>;
  /** A command line that runs `args` in one of the namespaces. Its processes end with the lab. */
  readonly inside: (namespace: keyof Namespaces, ...args: readonly string[]) => readonly string[];
  readonly close: () => Promise<void>;
}

/** A node of the lab forgets a UDP flow after a second, and with it where a late answer goes: it is asked again before. */
const REPEAT_MS = 500;

let labs = 0;

/** Makes a lab. Only root can. */
export async function createLab(): Promise<Lab> {
  const ip = findTool("ip");
  removeLeftovers(ip);
  const name = `${PREFIX}-${process.pid}-${++labs}`;
  const namespaces = { pod: `${name}-pod`, node: `${name}-node`, world: `${name}-world` };
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  const processes = createProcesses();
  const abandon = atTheEnd(() => {
    processes.kill();
    removeNow(ip, Object.values(namespaces), [directory]);
  });
  try {
    // Agents without privileges have to read their configuration too.
    await chmod(directory, 0o755);
    const [script] = await Promise.all([helperScript("traffic"), buildTopology(ip, namespaces)]);
    const traffic = join(directory, "traffic.cjs");
    await writeFile(traffic, script);
    return await furnish({ ip, namespaces, directory, processes, traffic, abandon });
  } catch (error) {
    abandon();
    throw error;
  }
}

interface Shell {
  readonly ip: string;
  readonly namespaces: Namespaces;
  readonly directory: string;
  readonly processes: ReturnType<typeof createProcesses>;
  /** The script of the processes that make and answer flows. */
  readonly traffic: string;
  readonly abandon: () => void;
}

/** Starts what makes and answers flows, and gives the lab its handles. */
async function furnish({ ip, namespaces, directory, processes, traffic, abandon }: Shell): Promise<Lab> {
  const inside = (namespace: string, ...args: readonly string[]) => [ip, "netns", "exec", namespace, ...args];
  const helper = (namespace: string) => inside(namespace, process.execPath, traffic);
  const volume = createVolume(join(directory, "config"));
  // Not every test makes flows, so their helpers are started with the first one.
  let pod: Promise<Client> | undefined;
  const startPod = async () => {
    const [client] = await Promise.all([
      processes.startClient(helper(namespaces.pod)),
      processes.startReceiver(helper(namespaces.world)),
    ]);
    return client;
  };
  const flow: Lab["flow"] = async (protocol, destination, patienceMs) => {
    pod ??= startPod();
    const patience = patienceMs === undefined ? {} : { patienceMs };
    return (await pod).flow({ protocol, destination, repeatMs: REPEAT_MS, ...patience });
  };
  let node: Promise<Client> | undefined;
  const startNode = async () => {
    await processes.startReceiver(helper(namespaces.node));
    return processes.startClient(helper(namespaces.node));
  };
  // A lock of its own: what happens in the lab must not wait for the machine's own tools, nor they for it.
  const own = { XTABLES_LOCKFILE: join(directory, "xtables.lock") };
  const env = { ...process.env, ...own };
  const inNode: Lab["inNode"] = (file, args, stdin = "") => {
    if (canEnter && NEEDS_NO_MOUNTS.test(file))
      return inNamespace(namespaces.node, () => attempt(file, args, { stdin, env }));
    const [first = "", ...rest] = inside(namespaces.node, file, ...args);
    return attempt(first, rest, { stdin, env });
  };
  return {
    directory,
    volume,
    startAgent: (options = {}) => {
      const { flags = [], env: more = {}, wrapper = [], node = process.execPath } = options;
      const agent = [node, options.bundle ?? agentBundle(), "run", `--config=${volume.path}`, ...flags];
      return processes.startAgent(inside(namespaces.node, ...wrapper, ...agent), { ...env, ...more });
    },
    flow,
    ask: async (...request) => (await flow(...request)).address,
    askNodeItself: async (protocol, family) => {
      const ends = { source: NODE[family], destination: NODE_TOWARDS_POD[family] };
      node ??= startNode();
      return (await (await node).flow({ protocol, ...ends, repeatMs: REPEAT_MS })).address;
    },
    iptables: (variant, family = "IPv4") => createIptables(toolName(variant, family), inNode),
    inNode,
    program: (args, { stdin = "", path = searchPath() } = {}) =>
      runHere({ args, namespace: namespaces.node, env: { ...own, PATH: path }, stdin }),
    inside: (namespace, ...args) => inside(namespaces[namespace], ...args),
    async close() {
      await processes.end();
      abandon();
    },
  };
}

/** Tools that look at nothing in the file system but their lock and /proc: mounts of their own change nothing for them. */
const NEEDS_NO_MOUNTS = /^(?:ip6?tables.*|nft|ipset|conntrack|sysctl)$/;

/** The agent under test: `AGENT` in the environment, or what the build makes. */
export function agentBundle(): string {
  const { AGENT = "dist/ip-masq-agent.cjs" } = process.env;
  const path = resolve(AGENT);
  if (!existsSync(path)) throw new Error(`${path} does not exist: build it first (node build.mjs)`);
  return path;
}

/** The family of an address. */
export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** Four times what the slowest state takes on a machine with a fifth of a core. It costs time only where a test fails. */
const PATIENCE_MS = 60_000;

/** Tries until `check` no longer throws; returns what it came to, or throws its last complaint after `deadlineMs`. */
export async function eventually<T>(check: () => T | Promise<T>, deadlineMs = PATIENCE_MS): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  // Looks cost processor time, which the process under test needs: they come less often with time, and take a quarter of it at most.
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 1.2, 100)) {
    const startedAt = performance.now();
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    const tookMs = performance.now() - startedAt;
    await new Promise((done) => setTimeout(done, Math.max(pauseMs, Math.min(3 * tookMs, 500))));
  }
}

function toolName(variant: Variant | undefined, family: Family): string {
  const base = family === "IPv4" ? "iptables" : "ip6tables";
  return variant === undefined ? base : `${base}-${variant}`;
}

function searchPath(): string {
  const { PATH = "" } = process.env;
  return PATH;
}

/** A tool's absolute path, for starting it with an environment whose PATH does not have it. */
export function findTool(name: string): string {
  const directories = [...searchPath().split(delimiter), "/usr/sbin", "/sbin"];
  const found = directories.map((directory) => join(directory, name)).find(isExecutable);
  if (found === undefined) throw new Error(`${name} is not in PATH: install iproute2 and iptables`);
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

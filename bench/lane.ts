/** A node with one agent of the default options in it, and a probe that changes and watches its rules (probe.ts). */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import type { Reply, Request } from "./probe.ts";
import type { Side } from "./sides.ts";
import type { BackendName } from "./snapshot.ts";
import type { BenchNode, Testbed } from "./testbed.ts";

export interface Lane {
  readonly side: Side;
  readonly backend: BackendName;
  readonly node: BenchNode;
  readonly agent: Agent;
  /** Lets the probe do something; returns the milliseconds until the rules were right. */
  readonly ask: (request: Request) => Promise<number>;
  readonly end: () => Promise<void>;
}

/** The texts that the configuration is swapped between; the first is in force to begin with. */
export const TEXTS = [
  JSON.stringify({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] }),
  JSON.stringify({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", "198.51.100.0/24"] }),
] as const;

const FLAGS: Readonly<Record<BackendName, readonly string[]>> = {
  iptables: ["--backend=iptables", "--iptables-mode=nft"],
  nftables: ["--backend=nftables"],
};

let lanes = 0;

/** Starts both; returns once the probe knows the rules for each of the texts. */
export async function startLane(testbed: Testbed, side: Side, backend: BackendName): Promise<Lane> {
  const node = await testbed.addNode();
  const directory = join(testbed.directory, `lane-${++lanes}`);
  const processes = createProcesses();
  // The probe ends with its namespace.
  const [ip = "", ...rest] = [...node.prefix, process.execPath, process.argv[1] ?? "", "--probe", backend];
  const probe = spawn(ip, [...rest, directory], { stdio: ["pipe", "pipe", "inherit"], env: testbed.env });
  const { ask, ready } = converse(probe);
  await ready;
  const learning = ask({ do: "learn", text: TEXTS[0] });
  const config = `--config=${join(directory, "ip-masq-agent")}`;
  const command = [...node.prefix, ...side.command, "run", config, ...FLAGS[backend]];
  const agent = processes.startAgent(command, testbed.env);
  try {
    await learning;
    await ask({ do: "learn", text: TEXTS[1] });
    await ask({ do: "swap", text: TEXTS[0] });
  } catch (error) {
    throw new Error(`${backend}: ${agent.log().slice(-1_000)}`, { cause: error });
  }
  return {
    side,
    backend,
    node,
    agent,
    ask: (request) =>
      ask(request).catch((error: unknown) => {
        throw new Error(`${backend}, ${JSON.stringify(request)}: ${agent.log().slice(-2_000)}`, {
          cause: error,
        });
      }),
    async end() {
      probe.stdin?.end();
      await processes.end();
    },
  };
}

function converse(probe: ChildProcess) {
  const lines = createInterface({ input: probe.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("the probe has ended");
    return String(value);
  };
  return {
    ready: next(),
    async ask(request: Request): Promise<number> {
      probe.stdin?.write(`${JSON.stringify(request)}\n`);
      const reply = JSON.parse(await next()) as Reply;
      if ("error" in reply) throw new Error(reply.error);
      return reply.ms;
    },
  };
}

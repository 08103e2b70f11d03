/** An agent with --config-map in a lab, beside a stand-in for the API server. */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Written } from "../api-server.ts";
import { command } from "../command.ts";
import { labTest } from "./fixture.ts";
import { findTool } from "./lab.ts";
import type { Agent } from "./processes.ts";

export const PORT = 6443;
/** Under the seccomp profile, in which a call that it does not name kills the agent. */
const STRICT = [
  findTool("python3"),
  resolve("test/lab/network/seccomp.py"),
  resolve("deploy/seccomp/ip-masq-agent.json"),
  "--strict",
];
export const MAP = "configmap kube-system/ip-masq-agent (key config)";

export interface StandIn {
  /** Writes the ConfigMap, or deletes it. */
  readonly edit: (text: string | null) => void;
  /** The objects that the agent has written, the latest last. */
  readonly written: readonly Written[];
  readonly end: () => Promise<void>;
}

export interface Cluster {
  /** With no ConfigMap yet, at this version of its state. */
  readonly startServer: (version?: number) => Promise<StandIn>;
  readonly startAgent: (...flags: readonly string[]) => Agent;
  readonly statePath: string;
}

export const clusterTest = labTest.extend<{ cluster: Cluster }>({
  cluster: async ({ lab }, use) => {
    const script = join(lab.directory, "api-server.mjs");
    const options = ["--bundle", "--platform=node", "--target=node20", "--format=esm", "--log-level=error"];
    const source = "test/lab/network/api-server-process.ts";
    await command("node_modules/.bin/esbuild", [source, ...options, `--outfile=${script}`]);
    const credentials = join(lab.directory, "credentials");
    const state = join(lab.directory, "state");
    mkdirSync(state);
    // Reports are spread over a minute at random.
    const noChance = join(lab.directory, "no-chance.cjs");
    writeFileSync(noChance, "Math.random = () => 0;\n");
    const directories: string[] = [];
    const startServer = async (version = 1_000): Promise<StandIn> => {
      const [file = "", ...args] = lab.inside(
        "node",
        process.execPath,
        script,
        String(PORT),
        String(version),
      );
      const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
      const ended = new Promise<void>((done) => child.on("exit", () => done()));
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const { credentials: made } = JSON.parse((await lines.next()).value) as { credentials: string };
      const written: Written[] = [];
      void (async () => {
        for await (const line of { [Symbol.asyncIterator]: () => lines }) written.push(JSON.parse(line));
      })();
      directories.push(made);
      await command("cp", ["-rT", made, credentials]);
      return {
        written,
        edit: (text) => child.stdin?.write(`${JSON.stringify(text)}\n`),
        async end() {
          child.kill("SIGKILL");
          await ended;
        },
      };
    };
    // `ip netns exec` gives each process mounts of its own, so that this reaches nothing else.
    const mounts =
      'mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"';
    await use({
      startServer,
      startAgent: (...flags) =>
        lab.startAgent({
          wrapper: ["sh", "-c", mounts, credentials, ...STRICT],
          flags: ["--backend=nftables", "--config-map=ip-masq-agent", `--state-dir=${state}`, ...flags],
          env: {
            KUBERNETES_SERVICE_HOST: "127.0.0.1",
            KUBERNETES_SERVICE_PORT: String(PORT),
            HTTPS_PROXY: "http://127.0.0.1:1",
            NODE_NAME: "node-17",
            ...(flags.includes("--report=lease") && { NODE_OPTIONS: `--require=${noChance}` }),
          },
        }),
      statePath: join(state, "config.json"),
    });
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  },
});

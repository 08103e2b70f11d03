/** The agent with --config-map, beside a stand-in for the API server, with a resync interval of an hour: what happens within seconds was heard. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { command } from "../../lab/command.ts";
import { config, describeKernel, labTest, logged } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import { listing } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";

const PORT = 6443;
/** Under the seccomp profile, in which a call that it does not name kills the agent. */
const STRICT = [
  findTool("python3"),
  resolve("test/lab/network/seccomp.py"),
  resolve("deploy/seccomp/ip-masq-agent.json"),
  "--strict",
];
const MAP = "configmap kube-system/ip-masq-agent (key config)";

interface StandIn {
  /** Writes the ConfigMap, or deletes it. */
  readonly edit: (text: string | null) => void;
  readonly end: () => Promise<void>;
}

interface Cluster {
  readonly startServer: () => Promise<StandIn>;
  readonly startAgent: () => Agent;
  readonly statePath: string;
}

const test = labTest.extend<{ cluster: Cluster }>({
  cluster: async ({ lab }, use) => {
    const script = join(lab.directory, "api-server.mjs");
    const options = ["--bundle", "--platform=node", "--target=node20", "--format=esm", "--log-level=error"];
    const source = "test/lab/network/api-server-process.ts";
    await command("node_modules/.bin/esbuild", [source, ...options, `--outfile=${script}`]);
    const credentials = join(lab.directory, "credentials");
    const state = join(lab.directory, "state");
    mkdirSync(state);
    const directories: string[] = [];
    const startServer = async (): Promise<StandIn> => {
      const [file = "", ...args] = lab.inside("node", process.execPath, script, String(PORT));
      const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
      const ended = new Promise<void>((done) => child.on("exit", () => done()));
      const { credentials: made } = JSON.parse(await firstLine(child)) as { credentials: string };
      directories.push(made);
      await command("cp", ["-rT", made, credentials]);
      return {
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
      startAgent: () =>
        lab.startAgent({
          wrapper: ["sh", "-c", mounts, credentials, ...STRICT],
          flags: ["--backend=nftables", "--config-map=ip-masq-agent", `--state-dir=${state}`],
          env: {
            KUBERNETES_SERVICE_HOST: "127.0.0.1",
            KUBERNETES_SERVICE_PORT: String(PORT),
            HTTPS_PROXY: "http://127.0.0.1:1",
          },
        }),
      statePath: join(state, "config.json"),
    });
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  },
});

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((done) => child.stdout?.once("data", (line: Buffer) => done(String(line))));
}

const hourly = (...nonMasqueradeCIDRs: string[]) => config({ nonMasqueradeCIDRs, resyncInterval: "1h" });
const A = hourly("198.51.100.0/24");
const B = hourly("203.0.113.0/24");

/** Waits until the kernel has this block; how soon it does is measured in bench/cluster. */
async function inForce(lab: Lab, block: string): Promise<void> {
  await eventually(async () => expect((await listing(lab)).join("\n")).toContain(block), 15_000);
}

async function ask(lab: Lab, path: string): Promise<string> {
  const script = `fetch("http://127.0.0.1:10279${path}").then((answer) => answer.text()).then(console.log)`;
  return (await lab.inNode(process.execPath, ["-e", script])).stdout;
}

describeKernel("--config-map", () => {
  test("an edit is in force at once, a bad one is not, and healing goes on; the agent says where its text is from", async ({
    lab,
    cluster,
  }) => {
    lab.volume.write(A);
    const server = await cluster.startServer();
    server.edit(A);
    const agent = cluster.startAgent();
    await eventually(() =>
      expect(agent.log()).toContain(`following ${MAP} through the API server at 127.0.0.1:${PORT}`),
    );
    server.edit(B);
    await inForce(lab, "203.0.113.0");
    expect(agent.log()).toContain(`using ${MAP}: 1 nonMasqueradeCIDR`);

    const bad = `nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n`;
    server.edit(bad);
    await eventually(() => expect(logged(agent, "E", `${MAP}:2:5: nonMasqueradeCIDRs[0]`)).toHaveLength(1));
    await lab.inNode("nft", ["flush", "chain", "inet", "ip-masq-agent", "postrouting"]);
    await eventually(() => expect(agent.log()).toContain("healed"));
    await inForce(lab, "203.0.113.0");

    const status = JSON.parse(await ask(lab, "/status"));
    expect(status).toMatchObject({
      api: { source: "api", up: true, why: null },
      config: { source: MAP, state: "refused" },
    });
    expect(JSON.parse(await ask(lab, "/configz"))).toMatchObject({ source: MAP });
    const metrics = await ask(lab, "/metrics");
    for (const sample of ['config_source{source="api"} 1', 'config_source{source="file"} 0', "api_up 1"])
      expect(metrics).toContain(`\nip_masq_agent_${sample}\n`);
    const text = await lab.inNode(process.execPath, [agentBundle(), "status"]);
    expect(text.stdout).toMatch(/^api +followed$/m);

    server.edit(null);
    await inForce(lab, "172.16.0.0");
    await server.end();
  });

  test("never back to an older text: through a restart, without the API server, and after it", async ({
    lab,
    cluster,
  }) => {
    lab.volume.write(A);
    const first = await cluster.startServer();
    first.edit(B);
    const agent = cluster.startAgent();
    await inForce(lab, "203.0.113.0");
    expect(readFileSync(cluster.statePath, "utf8")).toContain("203.0.113.0");
    await first.end();
    await agent.end("SIGKILL");

    // The kubelet has not brought B yet, and nobody answers.
    const second = cluster.startAgent();
    await eventually(() => expect(second.log()).toContain(`using ${MAP}, as cached in ${cluster.statePath}`));
    await eventually(() => expect(logged(second, "W", "ECONNREFUSED")).toHaveLength(1));
    expect((await listing(lab)).join("\n")).toContain("203.0.113.0");
    expect(second.log()).not.toContain("programmed");

    // The way to the API server is broken, the kubelet's is not.
    lab.volume.write(hourly("192.0.2.0/24"));
    await inForce(lab, "192.0.2.0");

    const again = await cluster.startServer();
    again.edit(hourly("192.88.99.0/24"));
    await inForce(lab, "192.88.99.0");
    await again.end();
  });

  test("a key that does not exist, and a flag that is wrong, are sentences", async ({ lab }) => {
    for (const [flags, line] of [
      [["--config-map=Kube/a"], 'Invalid --config-map flag "Kube/a": "Kube" is not a valid namespace'],
      [
        ["--config-map=a", "--watch=false"],
        'Invalid --config-map flag "a": it needs --watch, which is false',
      ],
    ] as const) {
      const agent = lab.startAgent({ flags });
      expect(await agent.ended).toBe(1);
      expect(logged(agent, "F", line)).toHaveLength(1);
    }
    const lost = lab.startAgent({
      flags: ["--backend=nftables", "--config-map=a"],
      env: { KUBERNETES_SERVICE_HOST: "" },
    });
    await eventually(() => expect(logged(lost, "W", "KUBERNETES_SERVICE_HOST is not set")).toHaveLength(1));
    await inForce(lab, "172.16.0.0");
  });
});

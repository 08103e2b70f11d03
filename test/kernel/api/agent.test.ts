/** The agent with --config-map, beside a stand-in for the API server, with a resync interval of an hour: what happens within seconds was heard. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { MAP, PORT, clusterTest as test } from "../../lab/network/api-cluster.ts";
import { config, describeKernel, logged } from "../../lab/network/fixture.ts";
import { httpGet } from "../../lab/network/http.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { listing } from "../../lab/network/nftables-agent-table.ts";

const hourly = (...nonMasqueradeCIDRs: string[]) => config({ nonMasqueradeCIDRs, resyncInterval: "1h" });
const A = hourly("198.51.100.0/24");
const B = hourly("203.0.113.0/24");

/** Waits until the kernel has this block; how soon it does is measured in bench/cluster. */
async function inForce(lab: Lab, block: string): Promise<void> {
  await eventually(async () => expect((await listing(lab)).join("\n")).toContain(block));
}

async function ask(lab: Lab, path: string): Promise<string> {
  return (await httpGet(lab, `http://127.0.0.1:10279${path}`)).body;
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
    await eventually(() => expect(agent.log()).toContain(`using ${MAP}: 1 nonMasqueradeCIDR`));

    // The mounted file is still the old one.
    const diff = await lab.program(["diff"]);
    expect(diff).toMatchObject({ code: 0 });

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
    const text = await lab.program(["status"]);
    expect(text.stdout).toMatch(/^api +followed$/m);

    server.edit(null);
    await inForce(lab, "172.16.0.0");
    // Its connection keeps it from nothing.
    expect(await agent.end()).toBe(143);
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
    await eventually(() => expect(readFileSync(cluster.statePath, "utf8")).toContain("203.0.113.0"));
    await first.end();
    await agent.end("SIGKILL");

    // The kubelet has not brought B yet, and nobody answers.
    const second = cluster.startAgent();
    await eventually(() => expect(second.log()).toContain(`using ${MAP}, as cached in ${cluster.statePath}`));
    await eventually(() => expect(logged(second, "W", "ECONNREFUSED")).toHaveLength(1));
    await eventually(() => expect(second.log()).toContain("is in force already"));
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

  test("--report=lease: a text that is refused is in the node's Lease with line and key, and then it is good again", async ({
    lab,
    cluster,
  }) => {
    lab.volume.write(A);
    const server = await cluster.startServer();
    server.edit(A);
    const agent = cluster.startAgent("--report=lease");
    const lease = () => server.written.findLast(({ kind }) => kind === "Lease");
    const reports = (state: string, more: object = {}) =>
      eventually(() =>
        expect(lease()?.metadata).toMatchObject({
          name: "ip-masq-agent-node-17",
          labels: { "ip-masq-agent/state": state },
          ...more,
        }),
      );
    await reports("ok");
    const validate = ["validate", "-o", "json", lab.volume.path];
    const digest = lease()?.metadata.labels?.["ip-masq-agent/config"];
    expect((await lab.program(validate)).stdout).toContain(`"hash":"${digest}"`);

    server.edit(`nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n`);
    const why = `${MAP}:2:5: nonMasqueradeCIDRs[0]`;
    await reports("refused", {
      labels: { "ip-masq-agent/state": "refused", "ip-masq-agent/config": digest },
      annotations: { "ip-masq-agent/why": expect.stringContaining(why) },
    });
    await eventually(() =>
      expect(server.written.find(({ kind }) => kind === "Event")).toMatchObject({
        message: expect.stringContaining("refused by some nodes: (key config):2:5: nonMasqueradeCIDRs[0]"),
      }),
    );
    server.edit(B);
    await reports("ok");
    await eventually(async () =>
      expect(await ask(lab, "/metrics")).toContain('\nip_masq_agent_reports_total{result="written"} 4\n'),
    );
    // Without the API server all goes on.
    await server.end();
    await lab.inNode("nft", ["flush", "chain", "inet", "ip-masq-agent", "postrouting"]);
    await eventually(() => expect(agent.log()).toContain("healed"));
    expect(await agent.end()).toBe(143);
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

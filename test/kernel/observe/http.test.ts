/** What a running agent says over HTTP, about real packets, real drift and real shortage. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { cells, times } from "../../lab/length.ts";
import {
  programmed as chainsProgrammed,
  config,
  describeKernel,
  expectVerdicts,
  flags as iptablesFlags,
  labTest,
  logged,
} from "../../lab/network/fixture.ts";
import { type HttpAnswer, httpGet } from "../../lab/network/http.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { FLAGS, programmed as tableProgrammed } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { NODE, POD } from "../../lab/network/topology.ts";

const ADDRESS = "127.0.0.1:10279";
const hourly = (fields: Readonly<Record<string, unknown>>) => config({ resyncInterval: "1h", ...fields });
const CONFIG = hourly({ nonMasqueradeCIDRs: ["10.0.0.0/8"] });

interface Backend {
  readonly flags: readonly string[];
  readonly ready: (lab: Lab, agent: Agent) => Promise<unknown>;
  readonly flush: readonly [file: string, args: readonly string[]];
}

const BACKENDS: Readonly<Record<string, Backend>> = {
  iptables: {
    flags: iptablesFlags("nft"),
    ready: (lab) => chainsProgrammed(lab, "nft"),
    flush: ["iptables-nft", ["-t", "nat", "-F", "IP-MASQ-AGENT"]],
  },
  nftables: {
    flags: FLAGS,
    ready: tableProgrammed,
    flush: ["nft", ["flush", "chain", "inet", "ip-masq-agent", "postrouting"]],
  },
};

/** One GET within the node. */
function get(lab: Lab, path: string): Promise<HttpAnswer> {
  return httpGet(lab, `http://${ADDRESS}${path}`);
}

/** The samples of the agent's series, by name and labels. */
async function samples(lab: Lab): Promise<ReadonlyMap<string, number>> {
  const { code, body } = await get(lab, "/metrics");
  expect(code).toBe(200);
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at).replace(/^ip_masq_agent_/, ""), Number(line.slice(at + 1))];
    }),
  );
}

/** What a command answers in the node, as JSON. */
async function ask(lab: Lab, ...args: readonly string[]) {
  const { stdout } = await lab.program([...args, "-o", "json"]);
  return JSON.parse(stdout);
}

const verdict = (all: ReadonlyMap<string, number>, name: "keep" | "masquerade") =>
  all.get(`verdict_packets_total{ip_family="IPv4",verdict="${name}"}`) ?? Number.NaN;

describeKernel.each(Object.entries(BACKENDS))("HTTP, %s", { timeout: 60_000 }, (name, backend) => {
  labTest("not ready before the first ruleset, but alive; then both", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [");
    lab.startAgent({ flags: backend.flags });
    await eventually(async () => expect((await get(lab, "/livez")).code).toBe(200));
    expect(await get(lab, "/readyz")).toMatchObject({ code: 503 });
    expect((await get(lab, "/readyz")).body).toContain("ip-masq-agent:1:");
    expect((await samples(lab)).get("config_valid")).toBe(0);
    lab.volume.write(CONFIG);
    await eventually(async () => expect((await get(lab, "/readyz")).code).toBe(200));
    const all = await samples(lab);
    expect(all.get("config_valid")).toBe(1);
    expect(all.get('rules_in_force{ip_family="IPv4"}')).toBe(1);
    expect(all.get('rules_in_force{ip_family="IPv6"}')).toBe(1);
    expect(all.get('config_reloads_total{result="failure"}')).toBe(1);
    // A bad configuration is the user's business, not the liveness probe's.
    lab.volume.write("nonMasqueradeCIDRs: [");
    await eventually(async () => expect((await samples(lab)).get("config_valid")).toBe(0));
    expect((await get(lab, "/healthz")).code).toBe(200);
    expect((await get(lab, "/readyz")).code).toBe(200);
  });

  labTest("verdicts are counted, and never decrease when rules are written again", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: backend.flags });
    await backend.ready(lab, agent);
    await eventually(async () => expect((await get(lab, "/livez")).code).toBe(200));
    const before = await samples(lab);
    // Two new flows each: TCP and UDP.
    await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node", "10.10.1.1": "pod" });
    const after = await samples(lab);
    expect(verdict(after, "keep") - verdict(before, "keep")).toBe(4);
    expect(verdict(after, "masquerade") - verdict(before, "masquerade")).toBe(2);
    for (const cidrs of [["10.0.0.0/8", "198.51.100.0/24"], ["10.0.0.0/8"]]) {
      lab.volume.write(hourly({ nonMasqueradeCIDRs: cidrs }));
      await eventually(async () =>
        expect((await samples(lab)).get('exempt_cidrs{ip_family="IPv4"}')).toBe(cidrs.length + 1),
      );
    }
    const [file, args] = backend.flush;
    expect(await lab.inNode(file, args)).toMatchObject({ code: 0 });
    await eventually(async () => {
      const healed = [...(await samples(lab))].filter(([series]) => series.startsWith("drift_healed_total"));
      const [[series = "", count = 0] = []] = healed;
      expect(series).toContain(`kind="missing",process="${file === "nft" ? "nft" : "iptables-nft"}"`);
      expect(count).toBeGreaterThan(0);
    });
    await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node" });
    // A rush of requests shares a reply, which may be from before these packets.
    await eventually(async () => {
      const last = await samples(lab);
      expect(verdict(last, "keep")).toBeGreaterThanOrEqual(verdict(after, "keep") + 2);
      expect(verdict(last, "masquerade")).toBeGreaterThanOrEqual(verdict(after, "masquerade") + 2);
      expect(last.get("sync_rules_duration_seconds_count")).toBeGreaterThanOrEqual(4);
    });
  });

  // The table is read in the same way, whatever the backend.
  const isShown = name === "nftables" || times(0, 1) === 1;
  labTest.runIf(isShown)("SNAT pressure: ports towards one destination, and the table", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: [...backend.flags, "--to-ports=40000-40019"] });
    await backend.ready(lab, agent);
    // Each flow has a source port of its own towards the same address and port.
    const timeouts = ["udp_timeout", "udp_timeout_stream"].map(
      (name) => `net.netfilter.nf_conntrack_${name}=60`,
    );
    expect(await lab.inNode("sysctl", ["-q", "-w", ...timeouts])).toMatchObject({ code: 0 });
    // Half of them ask a Service, behind which the destination is the same: both kinds need their ports of the same ones.
    const service =
      "table ip service { chain c { type nat hook prerouting priority dstnat; ip daddr 10.96.0.10 dnat to 8.8.8.8; }; }";
    expect(await lab.inNode("nft", [service])).toMatchObject({ code: 0 });
    for (let i = 0; i < 5; i++)
      for (const address of ["8.8.8.8", "10.96.0.10"]) expect(await lab.ask("udp", address)).not.toBe("");
    await eventually(async () => {
      const all = await samples(lab);
      expect(all.get("conntrack_entries")).toBeGreaterThanOrEqual(10);
      expect(all.get("conntrack_limit")).toBeGreaterThan(0);
      expect(all.get("snat_port_share")).toBeCloseTo(0.5, 1);
    });
    const [fullest] = (await ask(lab, "ports", "--to=8.8.8.8", "--protocol=udp")).keys;
    expect(fullest).toMatchObject({ nodeAddress: NODE.IPv4, inUse: 10, ports: 20, share: 0.5 });
    expect(fullest.by).toEqual([{ source: POD.IPv4, inUse: 10, own: false }]);
    // Each of the ports belongs to one connection, whichever way it came.
    const asked = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const { connections } = await ask(lab, "who", `${NODE.IPv4}:${40_000 + i}`, "--protocol=udp");
        return connections.map((one: { readonly asked: string }) => one.asked.split(":")[0]);
      }),
    );
    expect(asked.flat().sort()).toEqual([...Array(5).fill("10.96.0.10"), ...Array(5).fill("8.8.8.8")]);
  });

  // What waits does not depend on the backend.
  for (const _ of cells([name], () => name === "nftables"))
    labTest("a port that is taken is a warning, tried again", async ({ lab }) => {
      lab.volume.write(CONFIG);
      const first = lab.startAgent({ flags: backend.flags });
      await backend.ready(lab, first);
      await eventually(async () => expect((await get(lab, "/livez")).code).toBe(200));
      const second = lab.startAgent({ flags: backend.flags });
      await eventually(() => expect(logged(second, "W", "another process listens there")).toHaveLength(1));
      await first.end();
      await eventually(async () => expect((await get(lab, "/livez")).code).toBe(200), 20_000);
      expect(logged(second, "E")).toEqual([]);
    });

  labTest(
    "what it shows: status for the command, flags, configuration; nothing if it is off",
    async ({ lab }) => {
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: backend.flags });
      await backend.ready(lab, agent);
      await eventually(async () => expect((await get(lab, "/readyz")).code).toBe(200));
      expect(JSON.parse((await get(lab, "/status")).body)).toMatchObject({
        backend: { name, why: "--backend" },
        config: { valid: true, problems: [], hash: expect.stringMatching(/^[0-9a-f]{16}$/) },
        lastPass: { errors: [] },
      });
      expect(JSON.parse((await get(lab, "/configz")).body)).toMatchObject({
        flags: { "enable-ipv6": "true" },
        config: { nonMasqueradeCIDRs: ["10.0.0.0/8"], resyncInterval: "3600s" },
      });
      expect((await get(lab, "/flagz")).body).toContain("\nenable-ipv6=true\n");
      expect((await get(lab, "/statusz")).body).toContain("Up: 0 hr 00 min");
      expect((await get(lab, "/nothing")).code).toBe(404);
      await agent.end();
      const silent = lab.startAgent({ flags: [...backend.flags, "--http-address="] });
      await eventually(() => expect(silent.log()).toContain("is in force already"));
      expect((await get(lab, "/livez")).body).toBe("ECONNREFUSED");
    },
  );
});

/** A monotonic clock that jumps eight days ahead once a file exists. */
const jumpingClock = (file: string) => `"use strict";
const { existsSync } = require("node:fs");
const { bigint } = process.hrtime;
process.hrtime.bigint = () => bigint() + (existsSync(${JSON.stringify(file)}) ? 691_200_000_000_000n : 0n);
`;

describeKernel("HTTP, entries of iptables-nft", { timeout: 60_000 }, () => {
  labTest("what nothing has asked for in a week, across rules that are written again", async ({ lab }) => {
    const [preload, week] = [join(lab.directory, "clock.cjs"), join(lab.directory, "a-week-is-over")];
    writeFileSync(preload, jumpingClock(week));
    const cidrs = ["10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"];
    lab.volume.write(hourly({ nonMasqueradeCIDRs: cidrs }));
    const flags = iptablesFlags("nft");
    const agent = lab.startAgent({ flags, env: { NODE_OPTIONS: `--require=${preload}` } });
    await chainsProgrammed(lab, "nft");
    await eventually(() => expect(agent.log()).toContain("programmed"));
    const unasked = async () => JSON.parse((await get(lab, "/status")).body).neverAsked;
    await eventually(async () => expect(await unasked()).toBeUndefined());
    await expectVerdicts(lab, { "10.10.0.1": "pod" });
    lab.volume.write(hourly({ nonMasqueradeCIDRs: cidrs.slice(0, 2) }));
    await eventually(async () => expect((await samples(lab)).get('exempt_cidrs{ip_family="IPv4"}')).toBe(3));
    writeFileSync(week, "");
    const since = expect.stringMatching(/^20.*Z$/);
    await eventually(async () => expect(await unasked()).toEqual([{ cidr: "198.51.100.0/24", since }]));
    const { findings } = await ask(lab, "doctor", "--interval=0s");
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: "never-asked",
        message: expect.stringMatching(/^198\.51\.100\.0\/24 was never asked for since 20.*Z$/),
      }),
    );
  });
});

/** Real faults of a running agent meet the conditions of their alerts in a real Prometheus. */
import { join } from "node:path";
import { expect } from "vitest";
import { config, flags, labTest, programmed } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";
import { createShims } from "../../lab/network/shims.ts";
import { NODE } from "../../lab/network/topology.ts";
import { createVolume } from "../../lab/network/volume.ts";
import { ADDRESS, describePrometheusInLab, flush, scrape } from "../../monitoring/scrape.ts";
import type { Prometheus } from "../../monitoring/server.ts";

const CONFIG = config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"] });
const BAD = config({ nonMasqueradeCIDRs: ["10.0.0.1/8"] });

describePrometheusInLab("a fault meets the condition of its alert", { concurrent: true }, () => {
  labTest(
    "no good configuration, a bad one later, tools that fail, no agent; none in between",
    async ({ lab }) => {
      const shims = createShims(lab);
      lab.volume.write(BAD);
      const first = lab.startAgent({ flags: flags("nft", `--http-address=${ADDRESS}`), env: shims.env });
      const prometheus = await scrape(lab);
      await met(prometheus, "IpMasqAgentConfigInvalid", "IpMasqAgentRulesNotInForce");

      lab.volume.write(CONFIG);
      await programmed(lab, "nft");
      await met(prometheus);

      // The rules stay in force, and are looked after: longer than it takes until passes count as failing.
      lab.volume.write(BAD);
      const looks = "count_over_time((ip_masq_agent_config_valid == 0)[15s:1s]) > 5";
      await eventually(async () => expect(await prometheus.query(looks)).toHaveLength(1));
      await met(prometheus, "IpMasqAgentConfigInvalid");
      lab.volume.write(CONFIG);
      await met(prometheus);

      // The chain is gone, and the tools do not work: the agent cannot repair it.
      shims.replace("exit 4");
      await flush(lab);
      await met(prometheus, "IpMasqAgentRulesNotInForce", "IpMasqAgentSyncFailing");

      await first.end();
      await met(prometheus, "IpMasqAgentDown");
    },
  );

  labTest("nodes that differ in their configuration, until both have it", async ({ lab }) => {
    // As another node would have it: rules and a ConfigMap of its own.
    const other = createVolume(join(lab.directory, "other"));
    for (const { write } of [lab.volume, other]) write(CONFIG);
    const addresses = [ADDRESS, `${NODE.IPv4}:10280`] as const;
    lab.startAgent({ flags: flags("nft", `--http-address=${addresses[0]}`) });
    const more = [`--http-address=${addresses[1]}`, "--masq-chain=OTHER", `--config=${other.path}`];
    lab.startAgent({ flags: flags("nft", ...more) });
    const prometheus = await scrape(lab, addresses);
    const hashes = async () => (await prometheus.query("count by (hash) (ip_masq_agent_config_info)")).length;
    const nodes = async () => (await prometheus.query("count by (node) (ip_masq_agent_config_info)")).length;
    await eventually(async () => expect(await nodes()).toBe(2));
    expect(await hashes()).toBe(1);
    await met(prometheus);
    other.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] }));
    await met(prometheus, "IpMasqAgentConfigDiffers");
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] }));
    await met(prometheus);
    expect(await hashes()).toBe(1);
  });

  labTest("a fight over the rules meets the condition of a drift storm", async ({ lab }) => {
    lab.volume.write(CONFIG);
    lab.startAgent({ flags: flags("nft", `--http-address=${ADDRESS}`) });
    await programmed(lab, "nft");
    const prometheus = await scrape(lab);
    await eventually(async () => {
      await flush(lab);
      expect(await conditionsMet(prometheus)).toEqual(["IpMasqAgentDriftStorm"]);
    });
  });

  labTest("source ports that run out: few are left, then connections fail", async ({ lab }) => {
    lab.volume.write(CONFIG);
    lab.startAgent({ flags: flags("nft", `--http-address=${ADDRESS}`, "--to-ports=40000-40001") });
    await programmed(lab, "nft");
    // A closed connection keeps its port for two minutes; the first request takes the sample.
    await Promise.all([lab.ask("tcp", "8.8.8.8"), lab.ask("tcp", "8.8.8.8")]);
    const prometheus = await scrape(lab);
    await met(prometheus, "IpMasqAgentSnatPortsNearlyExhausted");
    // Each tries again and again; a few get the port of a connection that was closed.
    const asked = await Promise.allSettled(
      Array.from({ length: 40 }, () => lab.ask("tcp", "8.8.8.8", 4_000)),
    );
    expect(asked.filter(({ status }) => status === "rejected").length).toBeGreaterThan(20);
    const counted = ["IpMasqAgentConntrackInsertFailed", "IpMasqAgentConntrackDrops"];
    await met(prometheus, "IpMasqAgentSnatPortsNearlyExhausted", ...counted);
  });
});

/** Waits until the conditions of these alerts are met, and of no others. */
async function met(prometheus: Prometheus, ...expected: readonly string[]): Promise<void> {
  await eventually(async () => {
    expect(await conditionsMet(prometheus)).toEqual(expected.toSorted());
  });
}

/** The names of alerts that fire, or would if it stayed like this for a while. */
async function conditionsMet(prometheus: Prometheus): Promise<readonly string[]> {
  const alerts = await prometheus.query("count by (alertname) (ALERTS)");
  return alerts.map(({ metric: { alertname = "" } }) => alertname).toSorted();
}

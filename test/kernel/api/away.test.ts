/**
 * The API server is away for long: healing goes on, the file counts, and the agent catches up. AWAY_S is the time; an hour, as in
 * AWAY_S=3600, shows that nothing grows and nothing gives up meanwhile.
 */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { MAP, clusterTest as test } from "../../lab/network/api-cluster.ts";
import { config, describeKernel, logged } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { listing, pause } from "../../lab/network/nftables-agent-table.ts";
import type { Agent } from "../../lab/network/processes.ts";

const { AWAY_S = "2" } = process.env;
const AWAY_MS = Number(AWAY_S) * 1_000;
/** Pauses between tries are 0.8 s at first, and a minute at most. */
const BACK_MS = 90_000;
const TAMPER_EVERY_MS = Math.max(400, AWAY_MS / 120);

const hourly = (...nonMasqueradeCIDRs: string[]) => config({ nonMasqueradeCIDRs, resyncInterval: "1h" });
const rules = async (lab: Lab) => (await listing(lab)).join("\n");

function inForce(lab: Lab, block: string, withinMs = 15_000): Promise<void> {
  return eventually(async () => expect(await rules(lab)).toContain(block), withinMs);
}

function residentMb({ pid }: Agent): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

describeKernel("without the API server", { timeout: AWAY_MS + 2 * BACK_MS }, () => {
  test(`healing goes on for ${AWAY_S} s, then the agent catches up`, async ({ lab, cluster }) => {
    lab.volume.write(hourly("198.51.100.0/24"));
    const before = await cluster.startServer();
    before.edit(hourly("203.0.113.0/24"));
    // A watch that drops comes back within 30 s; a short form does not wait for that.
    const isFollowedFirst = AWAY_MS > 30_000;
    if (!isFollowedFirst) await before.end();
    const agent = cluster.startAgent();
    if (isFollowedFirst) await inForce(lab, "203.0.113.0");
    else await inForce(lab, "198.51.100.0");
    const block = isFollowedFirst ? "203.0.113.0" : "198.51.100.0";
    await before.end();
    const residentBefore = residentMb(agent);

    const until = performance.now() + AWAY_MS;
    let healed = 0;
    while (performance.now() < until) {
      await lab.inNode("nft", ["flush", "chain", "inet", "ip-masq-agent", "postrouting"]);
      await eventually(async () => expect(await rules(lab)).toMatch(/chain postrouting \{[^}]*masquerade/));
      healed++;
      await pause(TAMPER_EVERY_MS);
    }
    expect(await rules(lab)).toContain(block);
    await eventually(() => expect(agent.log()).toContain("healed: "));
    // The cause is said once, however often it occurs.
    await eventually(() => expect(logged(agent, "W", "ECONNREFUSED")).toHaveLength(1));

    const after = await cluster.startServer(2_000);
    const returned = performance.now();
    after.edit(hourly("192.0.2.0/24"));
    await inForce(lab, "192.0.2.0", BACK_MS);
    await eventually(() => expect(agent.log()).toContain(`following ${MAP} through the API server`));
    const seconds = ((performance.now() - returned) / 1_000).toFixed(1);
    console.log(
      `away for ${AWAY_S} s: healed ${healed} times, followed again ${seconds} s after the API server's return; ` +
        `${residentBefore.toFixed(1)} MB resident before, ${residentMb(agent).toFixed(1)} after`,
    );
    await after.end();
  });
});

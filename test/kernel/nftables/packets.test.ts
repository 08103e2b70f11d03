/**
 * Whose packets are masqueraded, and as whom, with nftables: every row of the table under every kind of configuration and under
 * random ones, and while configurations change. In the environment: PACKETS_CONFIGS, how many random ones (8; at length 2000),
 * PACKETS_SEED, to see the same ones again; PACKETS_FLOWS, how many flows there are at least in each kind of change (1000; at length
 * 300000), and PACKETS_CHANGES, how many changes (6; at length 100).
 */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { cells } from "../../lab/length.ts";
import { createRandom } from "../../lab/network/equivalence-configs.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { buildRunner, type Runner } from "../../lab/network/nftables-namespace.ts";
import { changeUnderTraffic, expectNoneWrong, PACKETS } from "../../lab/network/packets-changes.ts";
import { openPackets } from "../../lab/network/packets-lab.ts";
import { createOwnTable, fieldsOf } from "../../lab/network/packets-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { type PacketSettings, ROWS } from "../../lab/packets.ts";
import {
  ADDRESS_CHANGES,
  CHANGES,
  certainFlows,
  randomSettings,
  SETTINGS,
} from "../../lab/packets-settings.ts";

const { atLeast, configs, seed } = PACKETS;

/** Destinations change with something else. */
const TOGETHER = Object.entries(CHANGES).filter(([name]) => name.includes(" and "));

let runner: Runner;

/** A flow from a port that it always has keeps what was decided of it before. */
async function forget(lab: Lab): Promise<void> {
  expect(await lab.inNode("conntrack", ["-F"])).toMatchObject({ code: 0 });
}

const timeout = 300_000 + atLeast.changes * 2_000 + atLeast.flows;

describeKernel("nftables: whose packets, and as whom", { timeout: 300_000 + configs * 1_000 }, () => {
  beforeAll(async () => {
    runner = await buildRunner();
  });
  afterEach(() => runner.leave());
  afterAll(() => runner.remove());

  labTest("every row under each key, alone and with others", async ({ lab }) => {
    const packets = await openPackets(lab);
    const table = createOwnTable(lab, runner);
    for (const [name, settings] of Object.entries(SETTINGS)) {
      await table.put(settings);
      await forget(lab);
      expect([name, await packets.wrong(settings, ROWS)]).toEqual([name, []]);
    }
  });

  labTest(`${configs} random configurations, one after another`, async ({ lab }) => {
    const packets = await openPackets(lab);
    const table = createOwnTable(lab, runner);
    const random = createRandom(seed);
    for (let i = 0; i < configs; i++) {
      const settings = randomSettings(random);
      await table.put(settings);
      await forget(lab);
      const wrong = await packets.wrong(settings, ROWS);
      expect(wrong, `${i} of PACKETS_SEED=${seed}: ${JSON.stringify(settings)}`).toEqual([]);
    }
  });

  for (const [name, all] of cells(Object.entries(ADDRESS_CHANGES), ([, { length }]) => length === 2))
    labTest(`${name} change: no flow wrong`, { timeout }, async ({ lab }) => {
      const table = createOwnTable(lab, runner);
      expectNoneWrong(`nftables, ${name}`, await changeUnderTraffic(lab, all, table.put, atLeast));
    });

  for (const [name, [one = {}, other = {}]] of cells(TOGETHER, ([key]) => key.startsWith("links")))
    labTest(`the control, ${name}: one after the other is found out`, { timeout }, async ({ lab }) => {
      const then = { ...one, nonMasqueradeCIDRs: other.nonMasqueradeCIDRs ?? [] };
      const back = { ...other, nonMasqueradeCIDRs: one.nonMasqueradeCIDRs ?? [] };
      const flows = certainFlows([one, other], ROWS);
      const { put } = createOwnTable(lab, runner);
      const { wrong } = await changeUnderTraffic(lab, [one, then, other, back], put, atLeast, flows);
      expect(wrong).toBeGreaterThan(0);
    });
});

describeKernel("nftables: whose packets, with an agent", { timeout }, () => {
  const changes = Object.entries({ ...CHANGES, ...ADDRESS_CHANGES });
  for (const [name, all] of cells(changes, ([key]) => key.startsWith("sources,")))
    labTest(`${name} change: no flow wrong`, async ({ lab }) => {
      let programmed = 0;
      let agent: Agent | undefined;
      const put = async (settings: PacketSettings) => {
        lab.volume.write(config(fieldsOf(settings)));
        // Only now the node has all its addresses: one that came later would be programmed, and counted.
        agent ??= lab.startAgent({ flags: ["--backend=nftables", "--enable-ipv6"] });
        const { log } = agent;
        programmed++;
        await eventually(() =>
          expect(log().split(": programmed ").length - 1).toBeGreaterThanOrEqual(programmed),
        );
      };
      const total = await changeUnderTraffic(lab, all, put, atLeast);
      expectNoneWrong(`nftables, ${name}`, total);
    });
});

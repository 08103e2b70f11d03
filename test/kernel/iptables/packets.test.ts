/**
 * Whose packets are masqueraded, and as whom, with iptables as chains and with sets: every row of the table under every kind of
 * configuration and under random ones, and while configurations change. In the environment: PACKETS_CONFIGS, how many random ones
 * the forms share (8; at length 2000), PACKETS_SEED, to see the same ones again; PACKETS_FLOWS, how many flows there are at least in
 * each kind of change (1000; at length 300000), and PACKETS_CHANGES, how many changes (6; at length 100).
 */
import { expect } from "vitest";
import { cells, times } from "../../lab/length.ts";
import { createRandom } from "../../lab/network/equivalence-configs.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { createOwnChains, FORMS_SHOWN, formFlags } from "../../lab/network/packets-chains.ts";
import { changeUnderTraffic, expectNoneWrong, PACKETS } from "../../lab/network/packets-changes.ts";
import { openPackets } from "../../lab/network/packets-lab.ts";
import { fieldsOf } from "../../lab/network/packets-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { expectedOfRow, type PacketSettings, ROWS } from "../../lab/packets.ts";
import {
  ADDRESS_CHANGES,
  CHANGES,
  certainFlows,
  randomRows,
  randomSettings,
  SETTINGS,
} from "../../lab/packets-settings.ts";

const { atLeast, seed } = PACKETS;
const configs = Math.ceil(PACKETS.configs / FORMS_SHOWN.length);

const EVERYTHING = ["-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", "MASQUERADE", "--random-fully"];

/** A flow from a port that it always has keeps what was decided of it before. */
async function forget(lab: Lab): Promise<void> {
  expect(await lab.inNode("conntrack", ["-F"])).toMatchObject({ code: 0 });
}

describeKernel("iptables: whose packets, and as whom", { timeout: 300_000 + configs * 3_000 }, () => {
  labTest("the lab sees what rules by hand do", async ({ lab }) => {
    const packets = await openPackets(lab);
    expect(await packets.wrong({ nonMasqueradeCIDRs: ["0.0.0.0/0", "::/0"] }, ROWS)).toEqual([]);
    for (const tool of ["iptables-nft", "ip6tables-nft"])
      await lab.inNode(tool, ["-t", "nat", "-A", "POSTROUTING", ...EVERYTHING]);
    await forget(lab);
    expect(await packets.wrong({}, ROWS)).toEqual([]);
    const wrong = await packets.wrong({ outputInterfaces: ["bond+"] }, ROWS);
    expect(wrong).toContain(
      "IPv4 pod, 10.244.1.2 to 8.8.8.8 through eth0: seen as 192.0.2.1 instead of 10.244.1.2",
    );
  });

  for (const [name, form] of FORMS_SHOWN) {
    labTest(`${name}: every row under each key, alone and with others`, async ({ lab }) => {
      const packets = await openPackets(lab);
      const { put } = createOwnChains(lab, form);
      for (const [what, settings] of Object.entries(SETTINGS)) {
        expect([what, await put(settings)]).toEqual([what, undefined]);
        await forget(lab);
        expect([what, await packets.wrong(settings, ROWS)]).toEqual([what, []]);
      }
    });

    labTest(`${name}: ${configs} random configurations, one after another`, async ({ lab }) => {
      const packets = await openPackets(lab);
      const { put } = createOwnChains(lab, form);
      const random = createRandom(seed);
      const seen = { kept: 0, masqueraded: 0, refused: 0 };
      // Rows that all went one way would prove little.
      for (let i = 0; i < configs || Math.min(seen.kept, seen.masqueraded) === 0; i++) {
        const settings = randomSettings(random);
        const rows = [...ROWS, ...randomRows(random, 40)];
        const refusal = await put(settings);
        if (refusal !== undefined) {
          expect(refusal).toContain(" masquerade rules");
          seen.refused++;
          continue;
        }
        await forget(lab);
        const wrong = await packets.wrong(settings, rows);
        expect(wrong, `${i} of PACKETS_SEED=${seed}: ${JSON.stringify(settings)}`).toEqual([]);
        for (const row of rows) seen[expectedOfRow(settings, row).isKept ? "kept" : "masqueraded"]++;
      }
      console.log(
        `${name}, ${configs} random configurations (seed ${seed}): ${JSON.stringify(seen)}, 0 wrong`,
      );
    });
  }
});

const ALL_CHANGES = Object.entries({ ...CHANGES, ...ADDRESS_CHANGES });
const timeout = 300_000 + atLeast.changes * 3_000 + atLeast.flows;

/** An agent takes the addresses from its node, where each is one. */
describeKernel("iptables: whose packets, with an agent", { timeout }, () => {
  for (const [name, form] of FORMS_SHOWN)
    for (const [what, all] of cells(ALL_CHANGES, ([key]) => key.startsWith("many") && name === "ipset"))
      labTest(`${name}, ${what} change: no flow wrong`, async ({ lab }) => {
        let programmed = 0;
        let agent: Agent | undefined;
        const put = async (settings: PacketSettings) => {
          lab.volume.write(config(fieldsOf(settings)));
          // Only now the node has all its addresses: one that came later would be programmed, and counted.
          agent ??= lab.startAgent({ flags: [...formFlags(form), "--enable-ipv6"] });
          const { log } = agent;
          programmed++;
          for (const family of ["IPv4", "IPv6"])
            await eventually(() =>
              expect(log().split(`${family}: programmed `).length - 1).toBeGreaterThanOrEqual(programmed),
            );
        };
        expectNoneWrong(`${name}, ${what}`, await changeUnderTraffic(lab, all, put, atLeast));
      });
});

/** Configurations of which each changes sources and destinations of the one before, in place where they are sets, and some the rules. */
const [ONE = {}, OTHER = {}] = CHANGES["many sources and destinations"] ?? [];
const LINKS_TOO = { outputInterfaces: ["bond+", "eth0"] };
const TOGETHER: readonly PacketSettings[] = [
  ONE,
  OTHER,
  { ...ONE, ...LINKS_TOO },
  { ...OTHER, ...LINKS_TOO },
];

describeKernel("iptables: an agent that is killed at random between its writes", () => {
  for (const [name, form] of FORMS_SHOWN.filter(([, { ipsetThreshold }]) => ipsetThreshold > 0))
    labTest(`${name}: no flow wrong, and the next agent puts it right`, async ({ lab }) => {
      const packets = await openPackets(lab);
      const chains = createOwnChains(lab, form);
      const random = createRandom(seed);
      await chains.put(TOGETHER[0] ?? {});
      const stop = await packets.stream(certainFlows(TOGETHER, ROWS));
      let killed = 0;
      for (let i = 1; i <= times(5, 300) || killed === 0; i++) {
        const settings = TOGETHER[i % TOGETHER.length] ?? {};
        if (await chains.cut(settings, Math.floor(random() * 16))) killed++;
        // The next agent may find another configuration than the one that was killed.
        if (random() < 0.5) await chains.put(settings);
      }
      const flows = await stop();
      console.log(
        `${name}: killed ${killed} times, ${flows.received} flows, ${flows.wrong} wrong (seed ${seed})`,
      );
      expect(flows.samples).toEqual([]);
      const [last = {}] = TOGETHER;
      await chains.put(last);
      await forget(lab);
      expect(await packets.wrong(last, ROWS)).toEqual([]);
    });
});

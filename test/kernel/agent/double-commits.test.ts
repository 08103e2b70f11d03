/**
 * A process commits twice, as firewalls do on a reload: the second commit comes while the agent reverts the first. In the
 * environment: DOUBLES, how often for each backend (8; at length 2000).
 */
import { expect } from "vitest";
import { config, describeKernel, flags, labTest, saysProgrammed } from "../../lab/network/fixture.ts";
import { createLab, eventually, type Lab } from "../../lab/network/lab.ts";
import { FLAGS, pause } from "../../lab/network/nftables-agent-table.ts";

const { DOUBLES = "8" } = process.env;
const doubles = Number(DOUBLES);

/** Labs that work at the same time: an agent mends no more than twice a second for long. */
const LABS = doubles > 100 ? 4 : 2;
const EVERY_MS = 1_050;
const GAP_MS = 100;
/** The promised time, which a busy machine may miss; a lost event would take an hour. */
const WITHIN_MS = 1_000;

const CONFIG = config({ resyncInterval: "1h", nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] });
const BACKENDS = { iptables: flags("nft"), nftables: FLAGS } as const;

/** All rules of the node, in an order that does not depend on which was made first. */
async function rulesOf(lab: Lab): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["list", "ruleset"]);
  const lines = stdout.replace(/packets \d+ bytes \d+/g, "").split("\n");
  return lines
    .map((line) => line.trim())
    .sort()
    .join("\n");
}

/** Flushes everything twice; returns how long the rules were away after that, and what the gap was. */
async function flushTwice(lab: Lab, good: string): Promise<number> {
  const gap = (Math.random() * GAP_MS) / 1_000;
  const flush = "nft flush ruleset";
  expect(await lab.inNode("sh", ["-c", `${flush}; sleep ${gap.toFixed(4)}; ${flush}`])).toMatchObject({
    code: 0,
  });
  const flushedAt = performance.now();
  await eventually(async () => expect(await rulesOf(lab), `gap ${gap} s`).toBe(good));
  return performance.now() - flushedAt;
}

/** Flushes twice again and again; returns how long each time the rules were away. */
async function flushAll(lab: Lab, agentFlags: readonly string[], count: number): Promise<number[]> {
  lab.volume.write(CONFIG);
  const agent = lab.startAgent({ flags: agentFlags });
  await saysProgrammed(agent);
  const good = await rulesOf(lab);
  expect(good).toMatch(/masquerade/i);
  const away: number[] = [];
  while (away.length < count) {
    const startedAt = performance.now();
    away.push(await flushTwice(lab, good));
    await pause(Math.max(0, EVERY_MS - (performance.now() - startedAt)));
  }
  expect(agent.log()).not.toMatch(/^E/m);
  return away;
}

describeKernel.each(Object.entries(BACKENDS))(
  "two commits in a row, %s",
  { timeout: 300_000 + (doubles / LABS) * (EVERY_MS + 2_000) },
  (name, agentFlags) => {
    labTest(`${doubles} times: none is missed`, async ({ lab }) => {
      const others = await Promise.all(Array.from({ length: LABS - 1 }, createLab));
      try {
        const labs = [lab, ...others];
        const away = (
          await Promise.all(labs.map((one) => flushAll(one, agentFlags, Math.ceil(doubles / LABS))))
        ).flat();
        away.sort((a, b) => a - b);
        const at = (share: number) => away[Math.floor((away.length - 1) * share)]?.toFixed(0);
        const late = away.filter((ms) => ms > WITHIN_MS).length;
        console.log(
          `${name}: ${away.length} double flushes, right again after ms: median ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)}; ${late} later than ${WITHIN_MS}`,
        );
      } finally {
        await Promise.all(others.map((one) => one.close()));
      }
    });
  },
);

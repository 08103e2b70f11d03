/**
 * Processes without privileges that open connections to the agent's HTTP address and say nothing, or stay away from their answers:
 * the kubelet's probes get through, and rules are healed as soon as ever. In the environment: HTTP_FLOOD_MS, how long each (2000), and
 * HTTP_FLOOD_RATES, how many connections a second (150,1000; `make prove` tries 5000 alone, since it takes a core of its own to make).
 */
import { expect } from "vitest";
import { config, describeKernel, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { FLAGS, listing, programmed } from "../../lab/network/nftables-agent-table.ts";

const { HTTP_FLOOD_MS = "2000", HTTP_FLOOD_RATES = "150,1000" } = process.env;
const RATES = HTTP_FLOOD_RATES.split(",").map(Number);

/** Opens so many connections a second for so long, and keeps the newest thousand; says how many it opened. */
const FLOOD = `
const [rate, ms] = process.argv.slice(1).map(Number);
const { connect } = require("node:net");
const held = [];
let opened = 0;
const startedAt = performance.now();
const timer = setInterval(() => {
  const elapsed = performance.now() - startedAt;
  for (; opened < (elapsed * rate) / 1000; opened++) {
    held.push(connect(10279, "127.0.0.1").on("error", () => {}));
    if (held.length > 1000) held.shift().destroy();
  }
  if (elapsed < ms) return;
  clearInterval(timer);
  console.log(opened);
  process.exit();
}, 5);
`;

/** Probes as the kubelet does, one after another, until its input ends; says how many were not answered within a second, of all. */
const PROBES = `
const { get } = require("node:http");
const until = performance.now() + Number(process.argv[1]);
let failed = 0, all = 0;
const probe = () => {
  if (performance.now() > until) return console.log(failed, all);
  all++;
  const next = (ok) => { failed += ok ? 0 : 1; setTimeout(probe, 20); };
  const request = get("http://127.0.0.1:10279/livez", { agent: false, timeout: 1000 }, (answer) => {
    answer.resume().on("end", () => next(answer.statusCode === 200));
  });
  request.on("timeout", () => request.destroy()).on("error", () => next(false));
};
probe();
`;

describeKernel(
  "a flood of connections that say nothing",
  { timeout: 60_000 + 4 * Number(HTTP_FLOOD_MS) },
  () => {
    labTest("fails no probe and delays no healing", async ({ lab }) => {
      lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"], resyncInterval: "1h" }));
      const agent = lab.startAgent({ flags: FLAGS });
      await programmed(lab, agent);
      await eventually(() => expect(agent.log()).toContain("serving at"));
      for (const rate of RATES) {
        const floods = node(lab, FLOOD, String(rate), HTTP_FLOOD_MS);
        const probes = node(lab, PROBES, HTTP_FLOOD_MS);
        const heals = await healTimes(lab, Number(HTTP_FLOOD_MS));
        const [opened] = await floods;
        const [failed, all] = await probes;
        console.log(
          `${rate}/s: ${opened} connections, ${failed} of ${all} probes failed, ${heals.length} healings, p50 ${heals[heals.length >> 1]} ms`,
        );
        expect(opened).toBeGreaterThan((rate * Number(HTTP_FLOOD_MS)) / 2_000);
        expect(all).toBeGreaterThan(0);
        expect(heals.length).toBeGreaterThan(0);
        expect(failed).toBe(0);
      }
      expect(logged(agent, "E")).toEqual([]);
    });
  },
);

/** Numbers that a script of Node's prints in the node. */
async function node(lab: Lab, script: string, ...args: readonly string[]): Promise<number[]> {
  const { stdout, code, stderr } = await lab.inNode(process.execPath, ["-e", script, ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.split(" ").map(Number);
}

/** Spoils the table every half second; returns how long it took each time to be right again as a tool saw it, in ascending order. */
async function healTimes(lab: Lab, forMs: number): Promise<number[]> {
  const good = await listing(lab);
  const until = performance.now() + forMs;
  const times: number[] = [];
  while (performance.now() < until) {
    expect(await lab.inNode("nft", ["flush", "chain", "inet", "ip-masq-agent", "postrouting"])).toMatchObject(
      { code: 0 },
    );
    const spoiledAt = performance.now();
    await eventually(async () => expect(await listing(lab)).toEqual(good));
    times.push(Math.round(performance.now() - spoiledAt));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return times.sort((a, b) => a - b);
}

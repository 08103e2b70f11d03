/**
 * The agent reverts any commit of others, at any moment of any pass, within a second, and no pass reports rules as in force that were not.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Damaged, iptablesKernel, nftablesKernel } from "../../test/lab/memory/kernels.ts";
import { type Simulation, simulate } from "../../test/lab/memory/simulation.ts";

/** How many disturbances are tried: at each step every so-manieth kind of all, and so many at random. `make prove` tries all. */
const { DISTURBANCES: disturbances } = process.env;
const [EACH, RUNS] = disturbances === "all" ? [1, 2_000] : [101, 20];

const SHORT = "nonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']\nresyncInterval: 60s";
const LONG = `nonMasqueradeCIDRs: [${Array.from({ length: 20 }, (_, i) => `10.${i}.0.0/16`).join()}, 'fd00::/8', 'fd01::/16']\nresyncInterval: 60s`;

interface Setting {
  /** What is done before others are let loose, on an agent that rests; without it, the agent has not begun. */
  readonly before?: (agent: Simulation) => Promise<void>;
  /** What sets off the pass. */
  readonly trigger?: (agent: Simulation, kernel: Damaged) => void;
  /** Whether others do that. */
  readonly isDamaged?: true;
}

const rest = (agent: Simulation) => agent.pass(5_000);

const PASSES: Readonly<Record<string, Setting>> = {
  start: {},
  "a start that fails at first": { trigger: (_agent, kernel) => kernel.failOnce() },
  "a change of the configuration": { before: rest, trigger: (agent) => agent.configure(LONG) },
  "a list that becomes short": {
    async before(agent) {
      await rest(agent);
      agent.configure(LONG);
      await rest(agent);
    },
    trigger: (agent) => agent.configure(SHORT),
  },
  healing: { before: rest, isDamaged: true },
  "a healing that fails at first": {
    before: rest,
    trigger: (_agent, kernel) => kernel.failOnce(),
    isDamaged: true,
  },
  "a retry": {
    before: rest,
    trigger(agent, kernel) {
      kernel.failOnce();
      agent.configure(LONG);
    },
  },
  "a resync": { before: (agent) => agent.pass(59_500) },
};

const KERNELS = { iptables: iptablesKernel, nftables: nftablesKernel };
type Name = keyof typeof KERNELS;

interface Disturbance {
  readonly at: number;
  readonly lag: number;
  readonly damage: string;
}

/** Lets others disturb a pass; returns the number of steps, and the state of the rules. */
async function disturbed(name: Name, pass: string, disturbances: readonly Disturbance[]) {
  const { before, trigger, isDamaged } = PASSES[pass] ?? {};
  const kernel = KERNELS[name]();
  const agent = simulate(kernel, SHORT);
  await before?.(agent);
  const change = (damage: string) => kernel.damages[damage] ?? expect.fail(damage);
  const [first = ""] = Object.keys(kernel.damages);
  agent.disturb([
    ...(isDamaged ? [{ at: 0, lag: 0, change: change(first) }] : []),
    ...disturbances.map(({ at, lag, damage }) => ({ at, lag, change: change(damage) })),
  ]);
  trigger?.(agent, kernel);
  await agent.pass(1_000);
  while (agent.quietMs() === undefined) await agent.pass(100);
  await agent.pass(Math.max(0, 1_000 - (agent.quietMs() ?? 0)));
  const found = { wrong: agent.wrong(), jumps: kernel.jumps(), lies: agent.lies };
  await agent.end();
  return { found, steps: agent.stepsSinceDisturbed(), log: agent.log() };
}

const JUMPS: Readonly<Record<Name, number>> = { iptables: 1, nftables: 0 };
const GOOD = (name: Name) => ({ wrong: [], jumps: JUMPS[name], lies: [] });

describe.each(Object.keys(KERNELS) as Name[])("%s", { timeout: 900_000 }, (name) => {
  test.each(Object.keys(PASSES))("%s: one commit of others, before each step", async (pass) => {
    const { steps, found } = await disturbed(name, pass, []);
    expect(found).toEqual(GOOD(name));
    const damages = Object.keys(KERNELS[name]().damages);
    const all = damages.flatMap((damage) => [0, 1, 3].map((lag) => ({ damage, lag })));
    for (let at = 0; at <= steps; at++)
      for (const [i, { damage, lag }] of all.entries()) {
        if ((i + at) % EACH !== 0) continue;
        const { found, log } = await disturbed(name, pass, [{ at, lag, damage }]);
        // What a single commit of others makes fail is tried again before it is an error.
        expect(log.filter((line) => /^E/.test(line) && !line.includes("busy"))).toEqual([]);
        expect(found, `${damage} at ${at} of ${steps}, lag ${lag}:\n${log.join("\n")}`).toEqual(GOOD(name));
      }
  });

  test("several commits, at any steps of any pass", async () => {
    const disturbance = fc.record({
      at: fc.nat(60),
      lag: fc.nat(4),
      damage: fc.constantFrom(...Object.keys(KERNELS[name]().damages)),
    });
    const disturbances = fc.array(disturbance, { minLength: 2, maxLength: 4 });
    const pass = fc.constantFrom(...Object.keys(PASSES));
    const property = fc.asyncProperty(pass, disturbances, async (pass, list) => {
      const { found, log } = await disturbed(name, pass, list);
      expect(found, log.join("\n")).toEqual(GOOD(name));
    });
    await fc.assert(property, { numRuns: RUNS });
  });
});

describe("while the tools of IPv6 fail", () => {
  /** An agent whose IPv6 has failed for so long that its back-off is longer than the promised time of IPv4. */
  const failing = async () => {
    const kernel = iptablesKernel();
    const agent = simulate(kernel, SHORT);
    await rest(agent);
    kernel.broken.add("IPv6");
    agent.configure(LONG);
    await agent.pass(20_000);
    expect(agent.wrong()).toEqual(["IPv6"]);
    const runs = () => kernel.runs.get("IPv6") ?? 0;
    return { kernel, agent, runs };
  };

  test("it repairs IPv4 at once, and tries IPv6 once a second at most", async () => {
    const { kernel, agent, runs } = await failing();
    const [before, seconds] = [runs(), 30];
    for (let i = 0; i < seconds * 2; i++) {
      agent.disturb([{ at: 0, lag: 0, change: kernel.damages["flush the chain"] ?? expect.fail() }]);
      await agent.pass(500);
      expect(agent.wrong()).toEqual(["IPv6"]);
    }
    expect(runs() - before).toBeLessThanOrEqual(seconds + 1);
    expect(agent.lies).toEqual([]);
    kernel.broken.clear();
    await agent.pass(1_100);
    expect(agent.wrong()).toEqual([]);
    await agent.end();
  });

  test("and nothing happens, it is tried each 5 s, and at once with another configuration", async () => {
    const { kernel, agent, runs } = await failing();
    const before = runs();
    await agent.pass(30_000);
    expect(runs() - before).toBeGreaterThanOrEqual(5);
    expect(runs() - before).toBeLessThanOrEqual(8);
    kernel.broken.clear();
    agent.configure(SHORT);
    await agent.pass(100);
    expect(agent.wrong()).toEqual([]);
    await agent.end();
  });
});

describe("while the tools of IPv6 hang", () => {
  /** The changes by others that concern IPv4 or both families. */
  const others = Object.keys(iptablesKernel().damages).filter((damage) => !/IPv6|a rule$/.test(damage));

  test.each([
    ["from the start", async () => {}],
    ["later on", rest],
  ])("%s: it repairs IPv4 within a second, at any moment", async (_when, before) => {
    const disturbance = fc.record({
      pauseMs: fc.nat(1_500),
      damage: fc.constantFrom(...others),
      configure: fc.constantFrom(undefined, SHORT, LONG),
    });
    const property = fc.asyncProperty(fc.array(disturbance, { minLength: 1, maxLength: 8 }), async (list) => {
      const kernel = iptablesKernel();
      const agent = simulate(kernel, SHORT);
      if (before === rest) await rest(agent);
      kernel.hanging.add("IPv6");
      for (const { pauseMs, damage, configure } of list) {
        await agent.pass(pauseMs);
        if (configure !== undefined) agent.configure(configure);
        agent.commit(kernel.damages[damage] ?? expect.fail(damage));
        await agent.pass(1_000);
        expect(agent.wrong(), agent.log().join("\n")).not.toContain("IPv4");
      }
      kernel.hanging.clear();
      // What hangs still has its deadline, and the longest pause follows.
      await agent.pass(12_000);
      expect(agent.wrong(), agent.log().join("\n")).toEqual([]);
      expect(agent.lies).toEqual([]);
      await agent.end();
    });
    await fc.assert(property, { numRuns: RUNS });
  });

  test("passes do not follow one another for nothing, whatever hangs", async () => {
    const kernel = iptablesKernel();
    const agent = simulate(kernel, SHORT);
    await rest(agent);
    kernel.hanging.add("IPv6");
    agent.configure(LONG);
    await agent.pass(60_000);
    expect(agent.outcomes.length).toBeLessThan(60);
    expect(agent.wrong()).toEqual(["IPv6"]);
    await agent.end();
  });
});

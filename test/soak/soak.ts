/**
 * An agent with --watch and everything that can happen to it, at random, for as long as `SOAK_S` says. In the end its rules
 * have to be those that a fresh agent programs; it has to be the same process, without more descriptors, without children,
 * and with as much memory as in the beginning.
 */
import { expect } from "vitest";
import { command } from "../lab/command.ts";
import { expectVerdicts } from "../lab/network/fixture.ts";
import { eventually, findTool, type Lab } from "../lab/network/lab.ts";
import { ipsets, iptablesState, nftablesState } from "../lab/network/move-state.ts";
import type { Agent } from "../lab/network/processes.ts";
import { createShims } from "../lab/network/shims.ts";
import { childrenOf, descriptorsOf, memoryOf } from "../lab/network/usage.ts";
import { ACTIONS } from "./actions.ts";
import { type Backend, createConfigDirectory, createDice, createTools, pause, type World } from "./world.ts";

const { SOAK_S: seconds = "12", SEED: seed = String(Date.now() % 1e9) } = process.env;
/** How long it goes on; `make prove` asks for half an hour. */
export const SOAK_S = Number(seconds);
const SEED = Number(seed);

/** The last configuration. Nothing is left to a resync, which comes too late. */
const LAST = JSON.stringify({
  resyncInterval: "1h",
  nonMasqueradeCIDRs: ["10.0.0.0/8", "198.51.100.0/24", "fd00::/8"],
  masqueradeCIDRs: ["10.10.1.0/24", "fd00:10:1::/48"],
});
const VERDICTS = {
  "10.10.0.1": "pod",
  "10.10.1.1": "node",
  "8.8.8.8": "node",
  "fd00:10::1": "pod",
  "fd00:10:1::1": "node",
} as const;

/** So much of the time is warm-up: by then the code is compiled, and the heap has its size. */
const WARM_UP = 0.2;
const SAMPLES = 200;
/** The random part of the memory: lists of different lengths; in a short soak, a heap that has not settled. */
const GROWTH = SOAK_S < 300 ? 1.5 : 1.1;

const FLAGS: Readonly<Record<Backend, readonly string[]>> = {
  iptables: ["--backend=iptables", "--iptables-mode=nft", "--enable-ipv6"],
  nftables: ["--backend=nftables", "--enable-ipv6"],
};

/** Soaks an agent in a lab. */
export async function soak(lab: Lab, backend: Backend): Promise<void> {
  console.log(`${backend}: ${SOAK_S} s, SEED=${SEED}`);
  const shims = createShims(lab);
  const config = createConfigDirectory(lab);
  const world: World = { lab, backend, dice: createDice(SEED), config, tools: createTools(shims) };
  const start = () =>
    lab.startAgent({ flags: [`--config=${config.path}`, ...FLAGS[backend]], env: shims.env });
  config.swap(LAST);

  const fresh = start();
  await programmed(fresh, backend);
  const wanted = await rulesOf(lab, backend);
  await fresh.end();
  for (const tool of ["nft", "ipset"])
    await lab.inNode(tool, tool === "nft" ? ["flush", "ruleset"] : ["destroy"]);
  expect(await rulesOf(lab, backend)).not.toEqual(wanted);

  const agent = start();
  await programmed(agent, backend);
  const descriptors = await descriptorsAtRest(world, agent, wanted);
  const sizes = await trouble(world, agent);
  await settle(world, wanted);
  await expectVerdicts(lab, VERDICTS);
  await expectTidy(lab, agent, descriptors);
  expectFlat(sizes);
}

/** What an agent has open that has healed and waits for more. */
async function descriptorsAtRest(
  world: World,
  agent: Agent,
  wanted: readonly string[],
): Promise<readonly string[]> {
  await world.lab.inNode("nft", ["flush", "ruleset"]);
  await settle(world, wanted);
  // A tool that has ended leaves its pipes for a moment.
  const look = () => [childrenOf(agent.pid), descriptorsOf(agent.pid).toSorted()] as const;
  return eventually(async () => {
    const [, before] = look();
    await pause(100);
    expect(look()).toEqual([[], before]);
    return before;
  });
}

/** Lets things happen until the time is over; returns samples of the resident memory. */
async function trouble(world: World, agent: Agent): Promise<readonly number[]> {
  const { dice } = world;
  const until = performance.now() + SOAK_S * 1_000;
  const sizes: number[] = [];
  let ending: number | string | undefined;
  void agent.ended.then((how) => {
    ending = how;
  });
  const sample = () => ending === undefined && sizes.push(memoryOf(agent.pid).residentMb);
  const sampling = setInterval(sample, Math.max(100, (SOAK_S * 1_000) / SAMPLES));
  let actions = 0;
  try {
    for (; performance.now() < until; actions++) {
      expect(ending, "how the agent ended").toBeUndefined();
      const action = dice.one(ACTIONS)(world);
      // Now and then the next thing happens in the midst of it.
      const leisure = pause(dice.below(300));
      if (dice.below(3) > 0) await action;
      await Promise.all([action, leisure]);
    }
  } finally {
    clearInterval(sampling);
  }
  console.log(`${world.backend}: ${actions} actions`);
  return sizes;
}

/** Ends all trouble with the last configuration; its rules then have to be in force, without a resync. */
async function settle({ lab, backend, config, tools }: World, wanted: readonly string[]): Promise<void> {
  tools.mend();
  config.swap(LAST);
  await eventually(async () => expect(await rulesOf(lab, backend)).toEqual(wanted));
}

/** Our rules as text that does not depend on how they came about. */
async function rulesOf(lab: Lab, backend: Backend): Promise<readonly string[]> {
  if (backend === "iptables") return [...(await iptablesState(lab)), ...(await ipsets(lab))];
  const lines = await nftablesState(lab);
  const text = lines
    .join("\n")
    .replace(/packets \d+ bytes \d+/g, "")
    .replace(/keep-(ipv\d)-next/g, "keep-$1");
  // A replaced set comes after the others.
  return text
    .split(/^\t(?=set|chain)/m)
    .map((part) => part.replace(/\}\s*$/, "").trim())
    .toSorted();
}

/** Waits until both families have rules, which a slow tool puts off beyond the first pass, and the agent watches its configuration. */
async function programmed(agent: Agent, backend: Backend): Promise<void> {
  const groups = backend === "iptables" ? 2 : 1;
  await eventually(() => {
    expect(agent.log().split(": programmed ").length - 1).toBeGreaterThanOrEqual(groups);
    expect(descriptorsOf(agent.pid)).toContain("anon_inode:inotify");
  });
}

/** The agent has not ended, has nothing open that it had not in the beginning, and no process but it is left. */
async function expectTidy(lab: Lab, agent: Agent, before: readonly string[]): Promise<void> {
  expect(agent.log()).not.toMatch(/^F|^\s+at |Error: /m);
  const namespace = lab.inside("node")[3] ?? "";
  await eventually(async () => {
    expect(descriptorsOf(agent.pid).toSorted()).toEqual(before);
    expect(childrenOf(agent.pid)).toEqual([]);
    const pids = await command(findTool("ip"), ["netns", "pids", namespace]);
    expect(pids.trim().split("\n")).toEqual([String(agent.pid)]);
  });
}

function expectFlat(sizes: readonly number[]): void {
  const settled = sizes.slice(sizes.length * WARM_UP);
  const fifth = Math.ceil(settled.length / 5);
  const [first, last] = [middle(settled.slice(0, fifth)), middle(settled.slice(-fifth))];
  console.log(
    `resident memory: ${first.toFixed(1)} MB, in the end ${last.toFixed(1)} MB, at most ${Math.max(...sizes).toFixed(1)} MB`,
  );
  expect(last).toBeLessThan(first * GROWTH);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

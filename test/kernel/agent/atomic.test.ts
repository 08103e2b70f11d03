/**
 * While long lists change in every way a list can, no new flow sees the wrong verdict; and a way of changing them
 * that is known to be bad is found out by the same means. In the environment: ATOMIC_ENTRIES, the sizes of the IPv4
 * list (1000; at length 1000,10000); ATOMIC_CHANGES, how many changes (6; at length 102) and ATOMIC_FLOWS, how many flows there
 * are at least for each backend and size (1000; at length 300000, all in all some ten minutes).
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { cells } from "../../lab/length.ts";
import { atomicLists, certainDestinations, type Sizes } from "../../lab/network/atomic-lists.ts";
import { type Flows, openProber } from "../../lab/network/equivalence-prober.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import type { Agent } from "../../lab/network/processes.ts";

const { ATOMIC_ENTRIES = "1000", ATOMIC_CHANGES = "6", ATOMIC_FLOWS = "1000" } = process.env;
const entries = ATOMIC_ENTRIES.split(",").map(Number);
const changes = Number(ATOMIC_CHANGES);
const flowsAtLeast = Number(ATOMIC_FLOWS);

/** IPv6 has its turn with fewer, as on real nodes. */
function sizesOf(size: number): Sizes {
  return { IPv4: size, IPv6: Math.ceil(size / 5) };
}

interface Backend {
  readonly flags: readonly string[];
  /** How many lines of the log say that a list is in force: one for each family, or both. */
  readonly lines: number;
}

const NFTABLES: Backend = { flags: ["--backend=nftables"], lines: 1 };
const BACKENDS: Readonly<Record<string, Backend>> = {
  "iptables-nft": { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=0"], lines: 2 },
  "iptables-legacy": {
    flags: ["--backend=iptables", "--iptables-mode=legacy", "--ipset-threshold=0"],
    lines: 2,
  },
  // Only "one for many" is short enough for the chain: the change to it and back is one of both.
  ipset: { flags: ["--backend=iptables", "--iptables-mode=nft", "--ipset-threshold=10"], lines: 2 },
  nftables: NFTABLES,
};

const SHOWN = cells(Object.entries(BACKENDS), ([name]) => name !== "iptables-legacy");

/** What does not fit one batch of 212,992 bytes, so that a second set has to be filled. */
const BEYOND_DEFAULT_BUFFER = 12_000;

/**
 * The buffers of a kernel as it comes: net.core.wmem_max is the whole machine's and can only be read in a namespace, so it is
 * the addon, loaded by the agent unchanged, that is made to ask for no more. The kernel doubles the requested size.
 */
const DEFAULT_BUFFERS = `"use strict";
const { dlopen } = process;
const atMost = (size) => Math.min(size, 106_496);
process.dlopen = (module, ...rest) => {
  dlopen.call(process, module, ...rest);
  const { open } = module.exports;
  module.exports.open = (protocol, bytes, ...rest) => open(protocol, atMost(bytes), ...rest);
};
`;

/** Waits until the agent has said so often that a list is in force. */
async function inForce({ log }: Agent, times: number): Promise<void> {
  await eventually(() => expect(log().split(": programmed ").length - 1).toBeGreaterThanOrEqual(times));
}

/** Changes lists under a stream of new flows, until there were enough of both. */
async function changeUnderTraffic(
  lab: Lab,
  sizes: Sizes,
  { flags, lines }: Backend,
  env: NodeJS.ProcessEnv = {},
): Promise<Flows & { changes: number; sets: Set<string> }> {
  const lists = Object.values(atomicLists(sizes)).map(config);
  const prober = await openProber(lab);
  lab.volume.write(lists[0] ?? "");
  const agent = lab.startAgent({ flags: [...flags, "--enable-ipv6"], env });
  await inForce(agent, lines);
  const total = {
    sent: 0,
    received: 0,
    wrong: 0,
    samples: [] as string[],
    changes: 0,
    sets: new Set<string>(),
  };
  while (total.changes < changes || total.received < flowsAtLeast) {
    const stop = await prober.stream(certainDestinations(sizes));
    for (let i = 0; i < lists.length; i++) {
      total.changes++;
      lab.volume.write(lists[total.changes % lists.length] ?? "");
      await inForce(agent, (total.changes + 1) * lines);
      total.sets.add(await setsInUse(lab));
    }
    const { sent, received, wrong, samples } = await stop();
    total.sent += sent;
    total.received += received;
    total.wrong += wrong;
    total.samples.push(...samples);
  }
  return total;
}

/** Which sets the rules of the agent's table look up. */
async function setsInUse(lab: Lab): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["list", "chain", "inet", "ip-masq-agent", "postrouting"]);
  return (stdout.match(/@\S+/g) ?? []).join(" ");
}

function report(what: string, { sent, received, wrong }: Flows, times: number): void {
  console.log(
    `${what}: ${times} changes, ${received} new flows of ${sent} arrived, ${wrong} treated wrongly`,
  );
}

function expectNoneWrong({ sent, received, samples }: Flows): void {
  expect(samples).toEqual([]);
  // What never arrives, since a receiver on a busy machine is slow, proves nothing.
  expect(received).toBeGreaterThan(sent * 0.9);
}

const timeout = 300_000 + entries.length * (changes * 8_000 + flowsAtLeast);

describeKernel("lists change under traffic", { timeout }, () => {
  for (const size of entries) {
    for (const [name, backend] of SHOWN) {
      labTest(`${name}, ${size} CIDRs: no new flow is treated wrongly`, async ({ lab }) => {
        const total = await changeUnderTraffic(lab, sizesOf(size), backend);
        report(`${name}, ${size} CIDRs`, total, total.changes);
        expectNoneWrong(total);
      });
    }
  }

  labTest("nftables with the kernel's default buffers: a second set, and no flow wrong", async ({ lab }) => {
    const preload = join(lab.directory, "buffers.cjs");
    writeFileSync(preload, DEFAULT_BUFFERS);
    const env = { NODE_OPTIONS: `--require=${preload}` };
    const total = await changeUnderTraffic(lab, sizesOf(BEYOND_DEFAULT_BUFFER), NFTABLES, env);
    report(`nftables, default buffers, ${BEYOND_DEFAULT_BUFFER} CIDRs`, total, total.changes);
    expectNoneWrong(total);
    // With large buffers every change would have fitted, and the first set would do for ever.
    expect([...total.sets].join()).toContain("@keep-ipv4-next");
  });

  labTest("the control: a table deleted and added again in one transaction is found out", async ({ lab }) => {
    const sizes = sizesOf(entries[0] ?? 0);
    const prober = await openProber(lab);
    lab.volume.write(config(Object.values(atomicLists(sizes))[0] ?? {}));
    const agent = lab.startAgent({ flags: [...NFTABLES.flags, "--enable-ipv6"] });
    await inForce(agent, 1);
    await agent.end();
    const { stdout } = await lab.inNode("nft", ["list", "table", "inet", "ip-masq-agent"]);
    const anew = `delete table inet ip-masq-agent\n${stdout}`;
    // Until a flow comes in between.
    await eventually(async () => {
      const stop = await prober.stream(certainDestinations(sizes));
      const times = Math.max(60, changes);
      for (let i = 0; i < times; i++)
        expect(await lab.inNode("nft", ["-f", "-"], anew)).toMatchObject({ code: 0, stderr: "" });
      const flows = await stop();
      report("the control, deleted and added again", flows, times);
      expect(flows.wrong).toBeGreaterThan(0);
    });
  });
});

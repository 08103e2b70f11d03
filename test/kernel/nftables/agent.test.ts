/**
 * The agent with nftables at work: without child processes, killed, with long lists, and what stops it. In the
 * environment: NFT_KILLS, how often it is killed while lists change (10; at length 200), and NFT_CIDRS, how many
 * entries the longest list has (20000; at length 100000).
 */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openProber } from "../../lab/network/equivalence-prober.ts";
import { config, describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { agentBundle, eventually, findTool, type Lab } from "../../lab/network/lab.ts";
import {
  CONFIG,
  FLAGS,
  listing,
  pause,
  programmed,
  TABLE,
  VERDICTS,
} from "../../lab/network/nftables-agent-table.ts";
import type { Agent, Seen } from "../../lab/network/processes.ts";

const { NFT_KILLS = "10", NFT_CIDRS = "20000" } = process.env;
const kills = Number(NFT_KILLS);
const cidrs = Number(NFT_CIDRS);

/** The agent without privileges. */
const NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];

describeKernel("nftables: what stops it", () => {
  labTest("no CAP_NET_ADMIN: one line that names it", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS, wrapper: [findTool("setpriv"), ...NOBODY] });
    await eventually(() => expect(logged(agent, "E")).toHaveLength(1));
    expect(logged(agent, "E")[0]).toContain("CAP_NET_ADMIN");
    await expectSaidOnce(lab, agent);
  });

  labTest("CAP_NET_ADMIN alone is enough", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const caps = ["--inh-caps=+net_admin", "--ambient-caps=+net_admin"];
    const agent = lab.startAgent({ flags: FLAGS, wrapper: [findTool("setpriv"), ...NOBODY, ...caps] });
    await programmed(lab, agent);
    await expectVerdicts(lab, VERDICTS);
    expect(logged(agent, "E")).toEqual([]);
  });

  labTest("no addon: one line that names what is missing", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const bundle = join(lab.directory, "agent.cjs");
    copyFileSync(agentBundle(), bundle);
    const agent = lab.startAgent({ flags: FLAGS, bundle });
    await eventually(() => expect(logged(agent, "E")).toHaveLength(1));
    expect(logged(agent, "E")[0]).toMatch(/no netlink sockets on .*the addon netlink cannot be loaded/);
    await expectSaidOnce(lab, agent);
  });
});

/** Further passes, each of which reads another configuration, say no more of the same cause. */
async function expectSaidOnce(lab: Lab, agent: Agent): Promise<void> {
  for (const prefix of ["10.0.0.0/9", "10.0.0.0/10", "10.0.0.0/11"]) {
    const before = agent.log().length;
    lab.volume.write(config({ nonMasqueradeCIDRs: [prefix] }));
    await eventually(() => expect(agent.log().slice(before)).toContain("] using "));
  }
  expect(logged(agent, "E")).toHaveLength(1);
}

/** Whether a line of strace is of a new process; threads are none. */
function isChild(call: string): boolean {
  return /\b(execve|v?fork|clone3?)\(/.test(call) && !call.includes("CLONE_THREAD");
}

/** Whether it is of a message to the kernel. */
function isMessage(call: string): boolean {
  return /\bsend(msg|to)\(/.test(call);
}

describeKernel("nftables: at work", { timeout: 300_000 + kills * 3_000 + cidrs * 2 }, () => {
  labTest("no child process: at start, for a change, and when nothing changes", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const trace = join(lab.directory, "trace");
    const traced = "trace=execve,vfork,fork,clone,clone3,sendmsg,sendto";
    const wrapper = [findTool("strace"), "-f", "-D", "-qq", "-e", traced, "-o", trace];
    const agent = lab.startAgent({ flags: FLAGS, wrapper });
    await programmed(lab, agent);
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.10.0.0/16"] }));
    await programmed(lab, agent, 2);
    const calls = () => readFileSync(trace, "utf8").split("\n");
    lab.volume.write(CONFIG);
    await programmed(lab, agent, 3);
    const quiet = calls().length;
    // Each pass asks the kernel whether anything has changed.
    await eventually(() => expect(calls().slice(quiet).filter(isMessage).length).toBeGreaterThan(5));
    // The agent itself, and nothing else: neither to program nor to look for what other backends have left.
    expect(calls().filter(isChild)).toEqual([expect.stringContaining("execve(")]);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("IPv6 off leaves IPv6 alone", async ({ lab }) => {
    lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));
    const agent = lab.startAgent({ flags: ["--backend=nftables"] });
    const table = (await programmed(lab, agent)).join("\n");
    expect(table).not.toContain("keep-ipv6");
    await expectVerdicts(lab, {
      "10.10.0.1": "pod",
      "8.8.8.8": "node",
      "fd00:10::1": "pod",
      "2001:db8:1::1": "pod",
    });
  });

  labTest("an empty list masquerades everything, and can be filled again", async ({ lab }) => {
    lab.volume.write(config({ nonMasqueradeCIDRs: [], masqLinkLocal: true, masqLinkLocalIPv6: true }));
    const agent = lab.startAgent({ flags: FLAGS });
    await programmed(lab, agent);
    await expectVerdicts(lab, { "10.10.0.1": "node", "169.254.10.20": "node", "fd00:10::1": "node" });
    lab.volume.write(CONFIG);
    await programmed(lab, agent, 2);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("port ranges: what leaves has a port of one of them, and all are used", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const flags = [...FLAGS, "--to-ports=20000-20999,40000-40999"];
    await programmed(lab, lab.startAgent({ flags }));
    await expectVerdicts(lab, VERDICTS);
    for (const destination of ["8.8.8.8", "2001:4860:4860::8888"]) {
      for (const protocol of ["tcp", "udp"] as const) {
        const seen: Seen[] = [];
        for (let i = 0; i < 40; i++) seen.push(await lab.flow(protocol, destination));
        const ranges = seen.map(({ port }) =>
          [20, 40].find((thousand) => Math.floor(port / 1_000) === thousand),
        );
        // Each range gets half of the flows: one that gets none of 40 is a miracle, or a bug.
        expect(new Set(ranges)).toEqual(new Set([20, 40]));
      }
    }
  });

  labTest(
    `${kills} kills while lists change: no flow wrong, and a restart leaves nothing over`,
    async ({ lab }) => {
      const list = (half: number) =>
        config({
          nonMasqueradeCIDRs: [
            "10.10.0.0/16",
            "fd00:10::/32",
            ...scattered(3_000, half),
            half === 0 ? "10.20.0.0/16" : "10.30.0.0/16",
          ],
          cidrLimit: 4_000,
        });
      const prober = await openProber(lab);
      lab.volume.write(list(0));
      const startedAt = performance.now();
      const first = lab.startAgent({ flags: FLAGS });
      await programmed(lab, first);
      const took = performance.now() - startedAt;
      const stop = await prober.stream(
        { "10.10.0.1": "pod", "8.8.8.8": "node", "fd00:10::1": "pod", "2600::1": "node" },
        5_000,
      );
      await first.end("SIGKILL");
      for (let i = 1; i <= kills; i++) {
        lab.volume.write(list(i % 2));
        const agent = lab.startAgent({ flags: FLAGS });
        await pause(took * (0.3 + Math.random()));
        await agent.end("SIGKILL");
      }
      lab.volume.write(list(0));
      lab.startAgent({ flags: FLAGS });
      await eventually(async () => {
        const table = (await listing(lab)).join("\n");
        expect(table).toContain("10.20.0.0/16");
        expect(table).not.toContain("10.30.0.0");
        expect(table.match(/\bset keep-ipv\d/g)).toHaveLength(2);
      });
      const { received, wrong, samples } = await stop();
      console.log(`nftables, ${kills} kills: ${received} new flows, ${wrong} treated wrongly`);
      expect(samples).toEqual([]);
    },
  );

  labTest(`${cidrs} scattered CIDRs: in force, and one more`, async ({ lab }) => {
    const all = scattered(cidrs, 0);
    lab.volume.write(config({ nonMasqueradeCIDRs: all, cidrLimit: cidrs + 2 }));
    const agent = lab.startAgent({ flags: FLAGS });
    await programmed(lab, agent);
    const peakAll = peakMb(agent);
    const full = /programmed .* in (\d+) ms/.exec(agent.log())?.[1];
    lab.volume.write(config({ nonMasqueradeCIDRs: [...all, "8.8.8.8/32"], cidrLimit: cidrs + 2 }));
    await programmed(lab, agent, 2);
    const one = /programmed .* in (\d+) ms(?![\s\S]*programmed)/.exec(agent.log())?.[1];
    const peak = peakMb(agent);
    console.log(
      `nftables, ${cidrs} CIDRs: all ${full} ms and ${peakAll} MB at the peak, one more ${one} ms and ${peak} MB`,
    );
    await expectVerdicts(lab, { "8.8.8.8": "pod", "203.0.113.7": "node" });
    const [first = ""] = all;
    expect(await lab.inNode("nft", ["get", "element", ...TABLE, "keep-ipv4", `{ ${first} }`])).toMatchObject({
      code: 0,
    });
    // The bound for 100,000 of them, with everything that Node itself takes.
    expect(peak).toBeLessThan(150);
  });
});

/** The most memory that an agent has had so far. */
function peakMb({ pid }: Agent): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
}

/** Entries of which no two touch, so that each is an interval of its own; `half` shifts them all. */
function scattered(count: number, half: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const n = 2 * i + half;
    return `${20 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24`;
  });
}

/**
 * The agent with nftables: what others do to its table is healed, what is not its own is left alone, and what
 * stops it is said. In the environment: NFT_KILLS, how often it is killed while lists change (10; at length 200), and
 * NFT_CIDRS, how many entries the longest list has (20000; at length 100000).
 */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { openProber } from "./equivalence-prober.ts";
import { config, describeKernel, expectVerdicts, labTest, logged } from "./fixture.ts";
import { agentBundle, eventually, findTool, type Lab } from "./lab.ts";
import { nftablesState } from "./move-state.ts";
import type { Agent, Seen } from "./processes.ts";

const { NFT_KILLS = "10", NFT_CIDRS = "20000" } = process.env;
const kills = Number(NFT_KILLS);
const cidrs = Number(NFT_CIDRS);

const TABLE = ["inet", "ip-masq-agent"];
const FLAGS = ["--backend=nftables", "--enable-ipv6"];
const CONFIG = config({
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

/** Waits until the agent has put a list in force; returns its table. */
async function programmed(lab: Lab, agent: Agent, times = 1): Promise<readonly string[]> {
  await eventually(
    () => expect(agent.log().split(": programmed ").length - 1).toBeGreaterThanOrEqual(times),
    60_000,
  );
  return listing(lab);
}

/** Our table without what its counters show. */
async function listing(lab: Lab): Promise<readonly string[]> {
  return (await nftablesState(lab)).map((line) => line.replace(/packets \d+ bytes \d+/, "packets N"));
}

async function nft(lab: Lab, ...lines: readonly string[]): Promise<void> {
  expect(await lab.inNode("nft", ["-f", "-"], lines.join("\n"))).toMatchObject({ code: 0, stderr: "" });
}

/** The name of the set that a rule of ours looks up. */
async function setOf(lab: Lab, family: "ipv4" | "ipv6"): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["list", "chain", ...TABLE, "postrouting"]);
  return new RegExp(`@(keep-${family}\\S*)`).exec(stdout)?.[1] ?? "none";
}

/** The handle of a rule of ours, as nft takes it. */
async function handle(lab: Lab, text: string): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["-a", "list", "chain", ...TABLE, "postrouting"]);
  const line = stdout.split("\n").find((one) => one.includes(text)) ?? "";
  return /# handle (\d+)/.exec(line)?.[1] ?? "none";
}

const T = TABLE.join(" ");

/** What others do to our table, each in one transaction; and a word of what the log says of it. */
const TAMPERINGS: Readonly<Record<string, readonly [(lab: Lab) => Promise<unknown>, RegExp]>> = {
  "delete an element": [
    async (lab) => nft(lab, `delete element ${T} ${await setOf(lab, "ipv4")} { 198.51.100.0/24 }`),
    /healed: .*set keep-ipv4/,
  ],
  "add an element": [
    async (lab) => nft(lab, `add element ${T} ${await setOf(lab, "ipv4")} { 8.8.8.0/24 }`),
    /healed: .*set keep-ipv4/,
  ],
  "flush a set": [
    async (lab) => nft(lab, `flush set ${T} ${await setOf(lab, "ipv6")}`),
    /healed: .*set keep-ipv6/,
  ],
  "empty both sets": [
    async (lab) =>
      nft(lab, `flush set ${T} ${await setOf(lab, "ipv4")}`, `flush set ${T} ${await setOf(lab, "ipv6")}`),
    /healed: .*set keep-ipv4/,
  ],
  "delete a rule": [
    async (lab) => nft(lab, `delete rule ${T} postrouting handle ${await handle(lab, "@keep-ipv4")}`),
    /healed: .*postrouting/,
  ],
  "insert a rule": [(lab) => nft(lab, `insert rule ${T} postrouting accept`), /healed: .*postrouting/],
  "replace a rule": [
    async (lab) =>
      nft(
        lab,
        `replace rule ${T} postrouting handle ${await handle(lab, "fib")} fib daddr type local counter accept`,
      ),
    /healed: .*postrouting/,
  ],
  "delete the chain": [
    (lab) => nft(lab, `flush chain ${T} postrouting`, `delete chain ${T} postrouting`),
    /healed: .*chain postrouting/,
  ],
  "a chain with another priority": [
    (lab) =>
      nft(
        lab,
        `flush chain ${T} postrouting`,
        `delete chain ${T} postrouting`,
        `add chain ${T} postrouting { type nat hook postrouting priority 300; }`,
      ),
    /healed: .*chain postrouting/,
  ],
  "a rule that leads to a chain of their own": [
    (lab) =>
      nft(
        lab,
        `add chain ${T} foreign`,
        `add rule ${T} foreign accept`,
        `insert rule ${T} postrouting jump foreign`,
      ),
    /healed: .*chain foreign/,
  ],
  "a set of our name, but another kind": [
    async (lab) => {
      const set = await setOf(lab, "ipv4");
      const anew = [`delete set ${T} ${set}`, `add set ${T} ${set} { type ipv4_addr; }`];
      await nft(lab, `flush chain ${T} postrouting`, ...anew);
    },
    /healed: .*set keep-ipv4/,
  ],
  "add a map": [
    (lab) => nft(lab, `add map ${T} foreign { type ipv4_addr : ipv4_addr; }`),
    /healed: .*set foreign/,
  ],
  "put the table to sleep": [
    (lab) => nft(lab, `add table ${T} { flags dormant; }`),
    /healed: .*table inet ip-masq-agent/,
  ],
  "delete the table": [(lab) => nft(lab, `delete table ${T}`), /healed: .*table inet ip-masq-agent/],
  "flush the ruleset": [(lab) => nft(lab, "flush ruleset"), /healed: .*table inet ip-masq-agent/],
  "add a set": [(lab) => nft(lab, `add set ${T} foreign { type ipv4_addr; }`), /healed: .*set foreign/],
  "add a set of other keys": [
    (lab) => nft(lab, `add set ${T} foreign { type inet_service; elements = { 80 } }`),
    /healed: .*set foreign/,
  ],
  "add a chain": [
    (lab) => nft(lab, `add chain ${T} foreign`, `add rule ${T} foreign accept`),
    /healed: .*chain foreign/,
  ],
};

/** Commits to a table of another until told to end; returns how often. */
async function keepCommitting(lab: Lab, ended: AbortSignal): Promise<number> {
  let commits = 0;
  for (; !ended.aborted; commits++) await nft(lab, "add table ip other", "delete table ip other");
  return commits;
}

/** The parts of a table's listing: a set that had to be made anew has the other of its two names, and stands last. */
function parts(table: readonly string[]): readonly string[] {
  const text = table.join("\n").replace(/keep-(ipv\d)-next/g, "keep-$1");
  return text
    .split(/^\t(?=set|chain)/m)
    .map((part) => part.trimEnd())
    .sort();
}

describeKernel("nftables: healing", { timeout: 60_000 }, () => {
  labTest("whatever others do to the table is undone at the next pass, and said", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS });
    const own = await programmed(lab, agent);
    for (const [what, [tamper, said]] of Object.entries(TAMPERINGS)) {
      const before = agent.log().length;
      await tamper(lab);
      await eventually(async () => {
        expect(agent.log().slice(before), what).toMatch(said);
        expect(parts(await listing(lab)), what).toEqual(parts(own));
      });
      await expectVerdicts(lab, VERDICTS);
    }
    expect(logged(agent, "E")).toEqual([]);
  });

  labTest("while its list changes, too", async ({ lab }) => {
    const lists = [["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9", "172.16.0.0/12"]];
    const write = (i: number) => lab.volume.write(config({ nonMasqueradeCIDRs: lists[i % 2] }));
    write(0);
    const agent = lab.startAgent({ flags: FLAGS });
    await programmed(lab, agent);
    const tamperings = Object.values(TAMPERINGS).filter(([, said]) => !String(said).includes("keep-"));
    for (const [i, [tamper]] of tamperings.entries()) {
      write(i + 1);
      // What the one before has broken may not be mended yet, so that this one finds nothing to break.
      await tamper(lab).catch(() => {});
      await pause(Math.random() * 100);
    }
    write(0);
    await eventually(async () => {
      const all = (await listing(lab)).join("\n");
      expect(all).toContain("elements = { 10.0.0.0/8, 169.254.0.0/16 }");
      expect(all).not.toContain("foreign");
      expect(all.match(/counter/g)).toHaveLength(5);
    });
    await expectVerdicts(lab, { "10.10.0.1": "pod", "172.16.9.9": "node", "8.8.8.8": "node" });
  });

  labTest("beside somebody who commits all the time", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS });
    const own = await programmed(lab, agent);
    const storm = new AbortController();
    const commits = keepCommitting(lab, storm.signal);
    try {
      for (const [what, [tamper]] of Object.entries(TAMPERINGS)) {
        await tamper(lab);
        await eventually(async () => expect(parts(await listing(lab)), what).toEqual(parts(own)));
      }
    } finally {
      storm.abort();
    }
    expect(await commits).toBeGreaterThan(0);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest("rules of others in tables of their own are left alone", async ({ lab }) => {
    await nft(lab, "table ip other { chain c { type nat hook postrouting priority srcnat; }; }");
    const other = () => lab.inNode("nft", ["-a", "list", "table", "ip", "other"]);
    const before = (await other()).stdout;
    lab.volume.write(CONFIG);
    await programmed(lab, lab.startAgent({ flags: FLAGS }));
    await nft(lab, `delete table ${T}`);
    await eventually(async () => expect(await listing(lab)).not.toEqual([]));
    expect((await other()).stdout).toBe(before);
  });
});

describeKernel("nftables: a table that is not ours", { timeout: 60_000 }, () => {
  const FOREIGN = {
    "without a comment": "",
    "of an agent with another chain": 'comment "ip-masq-agent chain=OTHER"; ',
  };
  for (const [which, comment] of Object.entries(FOREIGN))
    labTest(`${which}: refused and untouched; once it is gone, it works`, async ({ lab }) => {
      await nft(lab, `table ${T} { ${comment}set keep-ipv4 { type ipv4_addr; }; chain c { accept; }; }`);
      const before = (await lab.inNode("nft", ["-a", "list", "ruleset"])).stdout;
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: FLAGS });
      await eventually(() => expect(logged(agent, "E")).toHaveLength(1));
      expect(logged(agent, "E")[0]).toMatch(
        /table inet ip-masq-agent has .* it is not ours, so it stays as it is; remove it/,
      );
      expect((await lab.inNode("nft", ["-a", "list", "ruleset"])).stdout).toBe(before);
      await nft(lab, `delete table ${T}`);
      await programmed(lab, agent);
      await expectVerdicts(lab, VERDICTS);
      expect(logged(agent, "E")).toHaveLength(1);
    });
});

/** The agent without privileges. */
const NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];

describeKernel("nftables: what stops it", { timeout: 60_000 }, () => {
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

  labTest("no addon: one line that says what is missing", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const bundle = join(lab.directory, "agent.cjs");
    copyFileSync(agentBundle(), bundle);
    const agent = lab.startAgent({ flags: FLAGS, bundle });
    await eventually(() => expect(logged(agent, "E")).toHaveLength(1));
    expect(logged(agent, "E")[0]).toMatch(
      /no netlink sockets on .*the native part of the npm package "netlink"/,
    );
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describeKernel("nftables: at work", { timeout: 120_000 + kills * 3_000 + cidrs * 2 }, () => {
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
    const full = /programmed .* in (\d+) ms/.exec(agent.log())?.[1];
    lab.volume.write(config({ nonMasqueradeCIDRs: [...all, "8.8.8.8/32"], cidrLimit: cidrs + 2 }));
    await programmed(lab, agent, 2);
    const one = /programmed .* in (\d+) ms(?![\s\S]*programmed)/.exec(agent.log())?.[1];
    const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, "utf8"))?.[1]);
    console.log(
      `nftables, ${cidrs} CIDRs: all ${full} ms, one more ${one} ms, peak ${Math.round(peakKb / 1024)} MB`,
    );
    await expectVerdicts(lab, { "8.8.8.8": "pod", "203.0.113.7": "node" });
    const [first = ""] = all;
    expect(await lab.inNode("nft", ["get", "element", ...TABLE, "keep-ipv4", `{ ${first} }`])).toMatchObject({
      code: 0,
    });
    // The bound for 100,000 of them, with everything that Node itself takes.
    expect(peakKb / 1024).toBeLessThan(150);
  });
});

/** Entries of which no two touch, so that each is an interval of its own; `half` shifts them all. */
function scattered(count: number, half: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const n = 2 * i + half;
    return `${20 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24`;
  });
}

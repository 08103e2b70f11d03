/**
 * Acting on events: with a resync interval of an hour, whatever happens within seconds was noticed. In the environment:
 * STORM_MS, how long others restore their rules (1500; at length 30000).
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { cells, times } from "../../lab/length.ts";
import {
  bothFamilies,
  config,
  describeKernel,
  expectVerdicts,
  flags,
  labTest,
  logged,
  programmed,
} from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import {
  FLAGS,
  listing,
  nft,
  pause,
  programmed as programmedTable,
} from "../../lab/network/nftables-agent-table.ts";
import { withoutEvents } from "../../lab/network/no-events.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { createShims } from "../../lab/network/shims.ts";

const { STORM_MS = "1500" } = process.env;
/** The rules that others restore. */
const STORM_RULES = times(5_000, 20_000);

const hourly = (fields: Readonly<Record<string, unknown>>) => config({ resyncInterval: "1h", ...fields });
const CONFIG = hourly({ nonMasqueradeCIDRs: ["10.0.0.0/8", "fd00::/8"] });
const VERDICTS = { "10.10.0.1": "pod", "8.8.8.8": "node" } as const;
const OTHER = hourly({ nonMasqueradeCIDRs: ["198.51.100.0/24", "2001:db8:1::/48"] });
const OTHER_VERDICTS = { "198.51.100.7": "pod", "10.10.0.1": "node" } as const;

/** What an agent on either backend must have, and how others spoil it. */
interface Backend {
  readonly flags: readonly string[];
  /** How many lines say that all rules were healed. */
  readonly lines: number;
  /** A tampering that takes little time. */
  readonly spoil: (lab: Lab) => Promise<unknown>;
  /** Waits until everything is in force; returns it as text. */
  readonly state: (lab: Lab, agent: Agent) => Promise<string>;
  readonly now: (lab: Lab) => Promise<string>;
  readonly tamperings: Readonly<Record<string, (lab: Lab) => Promise<unknown>>>;
}

const iptablesState = async (lab: Lab) => {
  const families = bothFamilies(lab, "nft").map(async (iptables) => [
    ...((await iptables.listing(CHAIN)) ?? []),
    ...((await iptables.listing("POSTROUTING")) ?? []).filter((line) => line.endsWith(CHAIN)),
  ]);
  return (await Promise.all(families)).flat().join("\n");
};

const tool =
  (file: string, ...args: string[]) =>
  async (lab: Lab) => {
    expect(await lab.inNode(file, args)).toMatchObject({ code: 0 });
  };

const BACKENDS: Readonly<Record<string, Backend>> = {
  iptables: {
    flags: flags("nft"),
    lines: 2,
    spoil: tool("nft", "flush", "chain", "ip", "nat", CHAIN),
    now: iptablesState,
    async state(lab) {
      await programmed(lab, "nft");
      return iptablesState(lab);
    },
    tamperings: {
      "flush of the chain by iptables": tool("iptables-nft", "-t", "nat", "-F", CHAIN),
      "flush of IPv6's chain": tool("ip6tables-nft", "-t", "nat", "-F", CHAIN),
      "one rule's deletion by iptables": tool("iptables-nft", "-t", "nat", "-D", CHAIN, "1"),
      "the jump's deletion by iptables": tool("iptables-nft", "-t", "nat", "-F", "POSTROUTING"),
      "a rule of theirs by iptables": tool("iptables-nft", "-t", "nat", "-I", CHAIN, "1", "-j", "ACCEPT"),
      "deletion of the table by nft": tool("nft", "delete", "table", "ip", "nat"),
      "flush of the ruleset by nft": tool("nft", "flush", "ruleset"),
    },
  },
  nftables: {
    flags: FLAGS,
    lines: 1,
    spoil: tool("nft", "flush", "chain", "inet", "ip-masq-agent", "postrouting"),
    now: async (lab) => (await listing(lab)).join("\n"),
    async state(lab, agent) {
      return (await programmedTable(lab, agent)).join("\n");
    },
    tamperings: {
      "flush of the chain by nft": tool("nft", "flush", "chain", "inet", "ip-masq-agent", "postrouting"),
      "deletion of the table by nft": tool("nft", "delete", "table", "inet", "ip-masq-agent"),
      "flush of the ruleset by nft": tool("nft", "flush", "ruleset"),
      "an element's deletion by nft": (lab) =>
        nft(lab, "delete element inet ip-masq-agent keep-ipv4 { 10.0.0.0/8 }"),
      "a set's flush by nft": tool("nft", "flush", "set", "inet", "ip-masq-agent", "keep-ipv6"),
    },
  },
};

/** Waits until the sources of change are open: then a foreign commit is named. */
async function listening(agent: Agent, lab: Lab): Promise<void> {
  await eventually(() => {
    const inotify = readdirSync(`/proc/${agent.pid}/fdinfo`).some((fd) =>
      readFileSync(`/proc/${agent.pid}/fdinfo/${fd}`, "utf8").includes("inotify wd:"),
    );
    expect(inotify).toBe(true);
  });
  // The agent can name a process only after the event of another process's commit.
  await tool("nft", "add", "table", "ip", "warm-up")(lab);
  await tool("nft", "delete", "table", "ip", "warm-up")(lab);
}

describeKernel.each(Object.entries(BACKENDS))("events, %s", (_name, backend) => {
  labTest("a swap of the ConfigMap, and a bad one before", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: backend.flags });
    await backend.state(lab, agent);
    await expectVerdicts(lab, VERDICTS);
    lab.volume.write("nonMasqueradeCIDRs: [");
    await eventually(() => expect(logged(agent, "E", "Error syncing configuration")).toHaveLength(1));
    await expectVerdicts(lab, VERDICTS);
    lab.volume.write(OTHER);
    await eventually(() => expectVerdicts(lab, OTHER_VERDICTS));
    lab.volume.clear();
    await eventually(() => expectVerdicts(lab, { "10.10.0.1": "pod", "198.51.100.7": "node" }));
  });

  labTest("a bad configuration at the start is retried when it changes", async ({ lab }) => {
    lab.volume.write("nonMasqueradeCIDRs: [1.2.3.4/8]");
    const agent = lab.startAgent({ flags: backend.flags });
    await eventually(() => expect(logged(agent, "E", "did you mean 1.0.0.0/8?")).toHaveLength(1));
    lab.volume.write(CONFIG);
    await backend.state(lab, agent);
    await expectVerdicts(lab, VERDICTS);
  });

  labTest(
    "changes by other processes are repaired, and they are named; rules in force are not touched",
    async ({ lab }) => {
      const shims = createShims(lab);
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: backend.flags, env: shims.env });
      const good = await backend.state(lab, agent);
      await listening(agent, lab);
      // The first may be seen together with what was done to find out whether the agent listens.
      const [first] = Object.values(backend.tamperings);
      for (const [what, tamper] of [["", first] as const, ...Object.entries(backend.tamperings)]) {
        const before = agent.log().length;
        await tamper?.(lab);
        await eventually(async () => expect(await backend.now(lab), what).toEqual(good));
        const who = what.endsWith("by nft") ? /^nft$/ : /^ip6?tables/;
        const healings = what === "flush of the ruleset by nft" ? backend.lines : 1;
        await eventually(() => {
          const text = agent.log().slice(before);
          expect(text, what).toMatch(/healed: .*, changed by (one of )?[\w-]+ \(host pid \d+\)/);
          expect(new Set(text.match(/(?<=\] ).*(?=: healed: )/g)).size, what).toBeGreaterThanOrEqual(
            healings,
          );
        });
        if (what === "") continue;
        const lines = agent.log().slice(before).split("\n");
        for (const line of lines) {
          const names = [...line.matchAll(/(\S+) \(host pid/g)].map(([, name = ""]) => name);
          // A slow tool of ours for one family may be under suspicion of the other's change, too.
          if (names.length > 0)
            expect(
              names.some((name) => who.test(name)),
              `${what}: ${line}`,
            ).toBe(true);
        }
      }
      await expectVerdicts(lab, VERDICTS);
      expect(logged(agent, "E")).toEqual([]);

      // Traffic moves counters, and others go on with their own rules: neither is a reason to run a tool.
      const calls = shims.calls().length;
      const lines = agent.log();
      await expectVerdicts(lab, VERDICTS);
      for (let i = 0; i < 10; i++) {
        await lab
          .iptables("nft")
          .run("-A", "POSTROUTING", "-p", "tcp", "--dport", String(i + 1), "-j", "RETURN");
        await nft(lab, `add table ip other-${i}`);
      }
      // The agent has seen all that once it mends the next thing.
      await Object.values(backend.tamperings)[0]?.(lab);
      await eventually(() => expect(agent.log().slice(lines.length)).toMatch(/healed: /));
      const mending = shims.calls().slice(calls);
      expect(mending.filter((call) => call.startsWith("iptables")).length).toBeLessThanOrEqual(6);
      expect(mending.filter((call) => call.startsWith("ip6tables"))).toEqual([]);
    },
  );

  labTest("without events the agent polls the generation, and says so once", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: backend.flags, env: withoutEvents(lab) });
    const good = await backend.state(lab, agent);
    await eventually(() => expect(logged(agent, "W", "listening to nf_tables: ENOMEM")).toHaveLength(1));
    for (const [what, tamper] of cells(Object.entries(backend.tamperings), (_, i) => i % 3 === 0)) {
      await tamper(lab);
      await eventually(async () => expect(await backend.now(lab), what).toEqual(good));
    }
    expect(agent.log()).not.toContain("changed by");
    expect(logged(agent, "W", "polling the ruleset's generation every 1 s instead")).toHaveLength(1);
  });

  labTest(
    "a process that keeps changing the rules is named, loudly, and repairs slow down",
    async ({ lab }) => {
      lab.volume.write(CONFIG);
      const agent = lab.startAgent({ flags: [...backend.flags, "--v=4"] });
      const good = await backend.state(lab, agent);
      await listening(agent, lab);
      const said = () => logged(agent, "W", "another process keeps changing the agent's rules");
      const repairs = () => agent.log().match(/pass \(ruleset\): [1-9]/g)?.length ?? 0;
      // Five within a second: as soon as the agent has said that it has made the last one.
      await eventually(async () => {
        for (let i = 0; i < 8; i++) {
          const before = repairs();
          await backend.spoil(lab);
          await eventually(() => expect(repairs()).toBeGreaterThan(before));
        }
        expect(said()).toHaveLength(1);
      }, 240_000);
      await eventually(async () => expect(await backend.now(lab)).toEqual(good));
      expect(said()[0]).toMatch(/\(last: \S+, host pid \d+\); the next repair waits \d+\.\d s/);
    },
  );

  labTest("drift during a storm is repaired within it", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: backend.flags });
    const good = await backend.state(lab, agent);
    await listening(agent, lab);
    const ended = new AbortController();
    const storm = restoreAllTheTime(lab, ended.signal);
    const until = performance.now() + Number(STORM_MS);
    let healed = 0;
    while (performance.now() < until) {
      await Object.values(backend.tamperings)[0]?.(lab);
      await eventually(async () => expect(await backend.now(lab)).toEqual(good));
      healed++;
      await pause(Math.random() * 500);
    }
    ended.abort();
    const restores = await storm;
    await Object.values(backend.tamperings)[0]?.(lab);
    await eventually(async () => expect(await backend.now(lab)).toEqual(good));
    expect(healed).toBeGreaterThan(0);
    expect(restores).toBeGreaterThan(0);
    expect(logged(agent, "E")).toEqual([]);
  });
});

/** Restores the rules of another again and again, as kube-proxy does; returns how often. */
async function restoreAllTheTime(lab: Lab, ended: AbortSignal): Promise<number> {
  const rules = Array.from(
    { length: STORM_RULES },
    (_, i) => `-A FOREIGN -s 172.20.${i >> 8}.${i & 255} -j RETURN`,
  );
  const text = ["*nat", ":FOREIGN - [0:0]", ...rules, "COMMIT", ""].join("\n");
  let restores = 0;
  for (; !ended.aborted; restores++)
    expect(await lab.inNode("iptables-nft-restore", ["--noflush"], text)).toMatchObject({ code: 0 });
  return restores;
}

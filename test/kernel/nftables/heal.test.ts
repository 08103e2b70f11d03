/** The agent with nftables: what others do to its table is undone, and a table that is not its own is left alone. */
import { expect } from "vitest";
import { config, describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import {
  CONFIG,
  FLAGS,
  listing,
  nft,
  pause,
  programmed,
  TABLE,
  VERDICTS,
} from "../../lab/network/nftables-agent-table.ts";

const T = TABLE.join(" ");

/** The name of the set that our rule looks up. */
async function setOf(lab: Lab, family: "ipv4" | "ipv6"): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["list", "chain", ...TABLE, "postrouting"]);
  return new RegExp(`@(keep-${family}\\S*)`).exec(stdout)?.[1] ?? "none";
}

/** The handle of our rule, as nft takes it. */
async function handle(lab: Lab, text: string): Promise<string> {
  const { stdout } = await lab.inNode("nft", ["-a", "list", "chain", ...TABLE, "postrouting"]);
  const line = stdout.split("\n").find((one) => one.includes(text)) ?? "";
  return /# handle (\d+)/.exec(line)?.[1] ?? "none";
}

/** Everything that we ever write is in its table. */
const EVERY_KEY = config({
  ...JSON.parse(CONFIG),
  masqueradeSourceCIDRs: ["10.244.0.0/16", "172.30.0.0/16", "fd00:244::/32"],
  outputInterfaces: ["bond+", "eth0"],
});

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
  "a verdict map that holds a chain of their own": [
    (lab) =>
      nft(
        lab,
        `add chain ${T} theirs`,
        `add map ${T} vm { type ipv4_addr : verdict; elements = { 1.1.1.1 : jump theirs } }`,
        `flush chain ${T} postrouting`,
      ),
    /healed: .*set vm/,
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
      const again = [`delete set ${T} ${set}`, `add set ${T} ${set} { type ipv4_addr; }`];
      await nft(lab, `flush chain ${T} postrouting`, ...again);
    },
    /healed: .*set keep-ipv4/,
  ],
  "add a source": [
    (lab) => nft(lab, `add element ${T} from-ipv4 { 192.0.2.0/24 }`),
    /healed: .*set from-ipv4/,
  ],
  "delete the sources": [
    (lab) => nft(lab, `flush set ${T} from-ipv4`, `flush set ${T} from-ipv6`),
    /healed: .*set from-ipv6/,
  ],
  "delete the rule for sources": [
    async (lab) => nft(lab, `delete rule ${T} postrouting handle ${await handle(lab, "@from-ipv6")}`),
    /healed: .*postrouting/,
  ],
  "another link": [
    async (lab) =>
      nft(
        lab,
        `replace rule ${T} postrouting handle ${await handle(lab, "bond*")} meta nfproto ipv4 oifname "bond" counter masquerade fully-random`,
      ),
    /healed: .*postrouting/,
  ],
  "an address of their own": [
    async (lab) =>
      nft(
        lab,
        `replace rule ${T} postrouting handle ${await handle(lab, "eth0")} meta nfproto ipv4 oifname "eth0" counter snat ip to 192.0.2.9 fully-random`,
      ),
    /healed: .*postrouting/,
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

/** The parts of a table's listing: a replaced set has the other of its two names, and comes last. */
function parts(table: readonly string[]): readonly string[] {
  const text = table.join("\n").replace(/(keep|from)-(ipv\d)-next/g, "$1-$2");
  return text
    .split(/^\t(?=set|chain)/m)
    .map((part) => part.trimEnd())
    .sort();
}

describeKernel("nftables: healing", () => {
  labTest("whatever others do to the table is undone at the next pass, and said", async ({ lab }) => {
    lab.volume.write(EVERY_KEY);
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

  labTest("next to a process that commits all the time", async ({ lab }) => {
    lab.volume.write(EVERY_KEY);
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

describeKernel("nftables: a table that is not ours", () => {
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
        /table inet ip-masq-agent has .* it is not ours, so the agent does not change it; remove it/,
      );
      expect((await lab.inNode("nft", ["-a", "list", "ruleset"])).stdout).toBe(before);
      await nft(lab, `delete table ${T}`);
      await programmed(lab, agent);
      await expectVerdicts(lab, VERDICTS);
      expect(logged(agent, "E")).toHaveLength(1);
    });
});

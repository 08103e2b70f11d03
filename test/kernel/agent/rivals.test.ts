/** Rules of the other backend that come back while the agent runs, as a forgotten agent's do: they go, although the resync is far. */
import { expect } from "vitest";
import { config, describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { CHAIN } from "../../lab/network/iptables.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import { pause } from "../../lab/network/nftables-agent-table.ts";

const ADDRESS = "127.0.0.1:10251";
const VERDICTS = { "10.10.0.1": "pod", "8.8.8.8": "node" } as const;
const LIST = { nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16"] };

interface Side {
  readonly flags: readonly string[];
  readonly rules: (lab: Lab) => Promise<readonly string[]>;
  /** How an agent that knows of no other writes its rules: what it has saved, with these tools. */
  readonly save: readonly [string, ...string[]];
  readonly restore: readonly [string, ...string[]];
  /** As the kernel names the tool; of legacy tools it does not tell. */
  readonly culprit: string;
}

const NFTABLES: Side = {
  flags: ["--backend=nftables"],
  rules: nftablesState,
  save: ["nft", "list", "table", "inet", "ip-masq-agent"],
  restore: ["nft", "-f", "-"],
  culprit: "nft",
};

const iptables = (variant: string, culprit: string): Side => ({
  flags: [`--iptables-mode=${variant}`],
  rules: iptablesState,
  save: [`iptables-${variant}-save`, "-t", "nat"],
  restore: [`iptables-${variant}-restore`, "--noflush"],
  culprit,
});

const NFT = iptables("nft", "iptables-nft-re");
const LEGACY = iptables("legacy", "an unknown process");

const CASES: Readonly<Record<string, readonly [ours: Side, theirs: Side, resyncInterval: string]>> = {
  "nftables, and iptables-nft comes back": [NFTABLES, NFT, "1h"],
  "iptables-nft, and nftables comes back": [NFT, NFTABLES, "1h"],
  "iptables-legacy, and nftables comes back": [LEGACY, NFTABLES, "1h"],
  // Nothing tells of legacy rules before the resync.
  "nftables, and iptables-legacy comes back": [NFTABLES, LEGACY, "100ms"],
};

/** What an agent of a side with a list that masquerades all has written, which is wrong for this one. */
async function savedRules(lab: Lab, side: Side): Promise<string> {
  lab.volume.write(config({ nonMasqueradeCIDRs: ["203.0.113.0/24"] }));
  const agent = lab.startAgent({ flags: ["--http-address=", ...side.flags] });
  await eventually(() => expect(agent.log()).toContain(": programmed "));
  await agent.end("SIGKILL");
  const [file, ...args] = side.save;
  const { stdout } = await lab.inNode(file, args);
  expect(stdout).toContain("203.0.113.0/24");
  return stdout;
}

async function comeBack(lab: Lab, { restore: [file, ...args] }: Side, rules: string): Promise<void> {
  const { code, stderr } = await lab.inNode(file, args, rules);
  if (code !== 0) throw new Error(stderr);
}

const status = (lab: Lab) => lab.program(["status", "--no-adopt", `--http-address=${ADDRESS}`]);

describeKernel("the other backend's rules", () => {
  labTest.for(Object.entries(CASES))("%s", async ([, [ours, theirs, resyncInterval]], { lab }) => {
    const rules = await savedRules(lab, theirs);
    lab.volume.write(config({ ...LIST, resyncInterval }));
    const agent = lab.startAgent({ flags: [`--http-address=${ADDRESS}`, ...ours.flags] });
    await eventually(async () => expect(await theirs.rules(lab)).toEqual([]));
    await eventually(async () => expect((await status(lab)).code).toBe(0));
    await expectVerdicts(lab, VERDICTS);
    const said = () => logged(agent, "W", "came back and were active");
    // Once is healed; again and again is a fight.
    for (let times = 1; times <= 3; times++) {
      await comeBack(lab, theirs, rules);
      await eventually(async () => expect(await theirs.rules(lab)).toEqual([]));
      await expectVerdicts(lab, VERDICTS);
      await eventually(() => expect(said()).toHaveLength(times));
      expect(said().at(-1)).toContain(theirs.culprit);
      await pause(100);
    }
    await eventually(async () => {
      const { code, stdout } = await status(lab);
      expect(code).toBe(1);
      expect(stdout).toContain("came back and were active");
    });
    expect((await ours.rules(lab)).length).toBeGreaterThan(2);
  });

  labTest("stay while the agent lives that writes them, and all is not well", async ({ lab }) => {
    lab.volume.write(config({ ...LIST, resyncInterval: "1h" }));
    const one = lab.startAgent({ flags: ["--http-address=", ...NFT.flags] });
    await eventually(() => expect(one.log()).toContain(": programmed "));
    const two = lab.startAgent({ flags: [`--http-address=${ADDRESS}`, ...NFTABLES.flags] });
    await eventually(async () =>
      expect((await status(lab)).stdout).toContain(`next to ours: chain ${CHAIN}`),
    );
    expect((await status(lab)).code).toBe(1);
    expect(await iptablesState(lab)).not.toEqual([]);
    expect(logged(two, "W", "another agent seems to run")).toHaveLength(1);
    await one.end("SIGKILL");
    await eventually(async () => expect((await status(lab)).code).toBe(0));
    expect(await iptablesState(lab)).toEqual([]);
  });
});

/**
 * From one backend to another with traffic: no new flow is treated wrongly, and nothing of the old one stays,
 * even if the agent is killed in the midst of it. In the environment: MOVES, how often each pair of backends changes
 * (4; at length 60), and MOVE_KILLS, how many moves are killed (6; at length 200).
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { atomicLists, certainDestinations } from "./atomic-lists.ts";
import { openProber } from "./equivalence-prober.ts";
import { config, describeKernel, expectVerdicts, labTest, logged } from "./fixture.ts";
import { agentBundle, eventually, type Lab } from "./lab.ts";
import { iptablesState, nftablesState } from "./move-state.ts";

const { MOVES = "4", MOVE_KILLS = "6" } = process.env;
const moves = Number(MOVES);
const kills = Number(MOVE_KILLS);

const SIZES = { IPv4: 300, IPv6: 60 };
const LIST = Object.values(atomicLists(SIZES))[0] ?? {};

/** One side of a move; `rules` is what is seen of it, and `lines` in how many its coming, or going, is said. */
interface Side {
  readonly flags: readonly string[];
  readonly rules: (lab: Lab) => Promise<readonly string[]>;
  readonly lines: number;
}

const NFTABLES: Side = { flags: ["--backend=nftables"], rules: nftablesState, lines: 1 };

function iptables(...flags: readonly string[]): Side {
  // One line for each family.
  return { flags: ["--backend=iptables", ...flags], rules: iptablesState, lines: 2 };
}

const OTHERS: Readonly<Record<string, Side>> = {
  "iptables-nft": iptables("--iptables-mode=nft"),
  "iptables-legacy": iptables("--iptables-mode=legacy"),
  ipset: iptables("--iptables-mode=nft", "--ipset-threshold=10"),
};

function start(lab: Lab, { flags }: Side) {
  return lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
}

/** Both sides in turn, beginning with the second. */
function sideOf(i: number, other: Side): readonly [Side, Side] {
  return i % 2 === 0 ? [NFTABLES, other] : [other, NFTABLES];
}

/** Waits until one side's rules stand, and nothing of the other's. */
async function settled(lab: Lab, to: Side, from: Side): Promise<void> {
  await eventually(async () => {
    expect((await to.rules(lab)).length).toBeGreaterThan(3);
    expect(await from.rules(lab)).toEqual([]);
  });
}

/** Programs `side`, and returns how long that takes from the start. */
async function begin(lab: Lab, side: Side, from: Side): Promise<number> {
  lab.volume.write(config(LIST));
  const startedAt = performance.now();
  const agent = start(lab, side);
  await eventually(() => expect(agent.log().split(": programmed ").length - 1).toBe(side.lines));
  const took = performance.now() - startedAt;
  await settled(lab, side, from);
  await agent.end("SIGKILL");
  return took;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const timeout = 60_000 + moves * 5_000 + kills * 5_000;

describeKernel("moves between backends under traffic", { timeout }, () => {
  for (const [name, other] of Object.entries(OTHERS)) {
    labTest(`${name} and nftables, ${moves} times: nothing left, no flow wrong`, async ({ lab }) => {
      const prober = await openProber(lab);
      await begin(lab, other, NFTABLES);
      const stop = await prober.stream(certainDestinations(SIZES));
      for (let i = 0; i < moves; i++) {
        const [to, from] = sideOf(i, other);
        const agent = start(lab, to);
        const removed = "removed what an agent with another backend had left";
        await eventually(() => expect(agent.log().split(removed).length - 1).toBe(from.lines));
        await settled(lab, to, from);
        expect([...logged(agent, "E"), ...logged(agent, "W")]).toEqual([]);
        await agent.end("SIGKILL");
      }
      const { received, wrong, samples } = await stop();
      console.log(`${name} and nftables, ${moves} moves: ${received} new flows, ${wrong} treated wrongly`);
      expect(samples).toEqual([]);
      expect(received).toBeGreaterThan(moves * 100);
    });
  }

  for (const [name, other] of Object.entries(OTHERS)) {
    labTest(`${name} and nftables, ${kills} moves killed: the next start finishes them`, async ({ lab }) => {
      const prober = await openProber(lab);
      let aim = await begin(lab, other, NFTABLES);
      const stop = await prober.stream(certainDestinations(SIZES));
      let unfinished = 0;
      for (let i = 0; i < kills; i++) {
        const [to, from] = sideOf(i, other);
        const agent = start(lab, to);
        await pause(aim * (0.5 + Math.random()));
        await agent.end("SIGKILL");
        const isFinished = (await from.rules(lab)).length === 0;
        if (!isFinished) unfinished++;
        // So that about half of the kills come before the end, however busy the machine is.
        aim *= isFinished ? 0.7 : 1.3;
        const next = start(lab, to);
        await settled(lab, to, from);
        await next.end("SIGKILL");
      }
      const { received, wrong, samples } = await stop();
      console.log(
        `${name} and nftables, ${kills} moves killed, ${unfinished} of them unfinished: ${received} new flows, ${wrong} treated wrongly`,
      );
      expect(samples).toEqual([]);
      expect(unfinished).toBeGreaterThan(0);
    });
  }
});

/** A PATH with nothing in it. */
function noTools(lab: Lab): { PATH: string } {
  const PATH = join(lab.directory, "nothing");
  mkdirSync(PATH);
  return { PATH };
}

/** The agent without the addon that lies beside it. */
function withoutAddon(lab: Lab): string {
  const bundle = join(lab.directory, "agent.cjs");
  copyFileSync(agentBundle(), bundle);
  return bundle;
}

/** What an agent with `--backend=auto` says it chose, once that works. */
async function chosen(lab: Lab, options: Parameters<Lab["startAgent"]>[0] = {}): Promise<string> {
  lab.volume.write(config({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }));
  const agent = lab.startAgent({ flags: ["--backend=auto"], ...options });
  await eventually(() => expect(agent.log()).toContain(": programmed "));
  await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node" });
  return /backend: (.*)/.exec(agent.log())?.[1] ?? "";
}

describeKernel("--backend=auto", { timeout: 60_000 }, () => {
  labTest("kube-proxy's nftables table: nftables", async ({ lab }) => {
    await lab.inNode("nft", ["add", "table", "ip", "kube-proxy"]);
    expect(await chosen(lab)).toBe("nftables (kube-proxy uses nftables)");
    expect(await nftablesState(lab)).not.toEqual([]);
  });

  for (const variant of ["nft", "legacy"] as const)
    labTest(`kube-proxy's table, but KUBE-SERVICES in iptables-${variant}: iptables`, async ({ lab }) => {
      await lab.inNode("nft", ["add", "table", "ip", "kube-proxy"]);
      await lab.iptables(variant).run("-N", "KUBE-SERVICES");
      const flags = ["--backend=auto", `--iptables-mode=${variant}`];
      expect(await chosen(lab, { flags })).toBe(`iptables (iptables-${variant} works)`);
      expect(await nftablesState(lab)).toEqual([]);
    });

  labTest("nothing of kube-proxy's: iptables, if its tool works", async ({ lab }) => {
    expect(await chosen(lab)).toBe("iptables (iptables works)");
    expect(await iptablesState(lab)).not.toEqual([]);
  });

  labTest("no iptables tool: nftables, and it is said why", async ({ lab }) => {
    const choice = await chosen(lab, { flags: ["--backend=auto"], env: noTools(lab) });
    expect(choice).toMatch(/^nftables \(nf_tables works, but not iptables: .*not in PATH/);
    expect(await nftablesState(lab)).not.toEqual([]);
  });

  labTest("no addon: iptables", async ({ lab }) => {
    const choice = await chosen(lab, { flags: ["--backend=auto"], bundle: withoutAddon(lab) });
    expect(choice).toBe("iptables (iptables works)");
  });

  labTest("neither tool nor addon: one F line that says what each lacks, and exit 1", async ({ lab }) => {
    const options = { flags: ["--backend=auto"], env: noTools(lab), bundle: withoutAddon(lab) };
    const agent = lab.startAgent(options);
    expect(await agent.ended).toBe(1);
    const [line = "", ...more] = logged(agent, "F");
    expect(more).toEqual([]);
    expect(line).toMatch(/No backend works: iptables: .*not in PATH.*; nftables: .*netlink/);
  });
});

/**
 * From one backend to another with traffic: no new flow is treated wrongly, and nothing of the old one stays,
 * even if the agent is killed in the midst of it. In the environment: MOVES, how often each pair of backends changes
 * (2; at length 12), and MOVE_KILLS, how many moves are killed (6; at length 30).
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { cells, times } from "../../lab/length.ts";
import { atomicLists, certainDestinations } from "../../lab/network/atomic-lists.ts";
import { type Flows, openProber } from "../../lab/network/equivalence-prober.ts";
import { config, describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { httpGet } from "../../lab/network/http.ts";
import { agentBundle, eventually, type Lab } from "../../lab/network/lab.ts";
import { iptablesState, nftablesState } from "../../lab/network/move-state.ts";
import { openPackets } from "../../lab/network/packets-lab.ts";
import { fieldsOf } from "../../lab/network/packets-table.ts";
import type { Agent } from "../../lab/network/processes.ts";
import { type PacketSettings, ROWS } from "../../lab/packets.ts";
import { certainFlows, SETTINGS } from "../../lab/packets-settings.ts";

const { MOVES = "2", MOVE_KILLS = "6" } = process.env;
const moves = Number(MOVES);
const kills = Number(MOVE_KILLS);

const SIZES = { IPv4: 300, IPv6: 60 };
const LIST = Object.values(atomicLists(SIZES))[0] ?? {};

/** Configurations, and a stream of new flows that each treats in one way whatever the backend. */
interface Load {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly stream: (lab: Lab) => Promise<() => Promise<Pick<Flows, "received" | "wrong" | "samples">>>;
}

/** Of lists of destinations. */
const DESTINATIONS: Load = {
  fields: LIST,
  stream: async (lab) => (await openProber(lab)).stream(certainDestinations(SIZES)),
};

const { nonMasqueradeCIDRs: LISTED } = LIST;

/** Of sources and links as well; with ipset both lists are sets. */
const WHOSE: PacketSettings = {
  ...SETTINGS["exceptions, and nine sources"],
  nonMasqueradeCIDRs: [...(LISTED as string[]), "10.10.0.0/16", "fd00:10::/32"],
  outputInterfaces: ["bond+", "eth0"],
};
const PACKETS: Load = {
  fields: { ...LIST, ...fieldsOf(WHOSE) },
  stream: async (lab) => (await openPackets(lab)).stream(certainFlows([WHOSE], ROWS)),
};

/** One side of a move; `rules` reads its rules, and `lines` is the number of log lines about its coming, or going. */
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

const OTHERS: readonly (readonly [string, Side])[] = Object.entries({
  "iptables-nft": iptables("--iptables-mode=nft"),
  "iptables-legacy": iptables("--iptables-mode=legacy"),
  ipset: iptables("--iptables-mode=nft", "--ipset-threshold=10"),
});
const LOADS = Object.entries({ destinations: DESTINATIONS, "sources and links": PACKETS });
const KILLED = cells(
  OTHERS.flatMap(([name, other]) => LOADS.map((load) => [name, other, load] as const)),
  ([name, , [, load]]) => name === "ipset" && load === PACKETS,
);
const SHOWN = cells(OTHERS, ([name]) => name === "ipset");

function start(lab: Lab, { flags }: Side) {
  return lab.startAgent({ flags: [...flags, "--enable-ipv6"] });
}

/** Both sides in turn, beginning with the second. */
function sideOf(i: number, other: Side): readonly [Side, Side] {
  return i % 2 === 0 ? [NFTABLES, other] : [other, NFTABLES];
}

/** Waits until one side's rules exist, and none of the other's. */
async function settled(lab: Lab, to: Side, from: Side): Promise<void> {
  await eventually(async () => {
    expect((await to.rules(lab)).length).toBeGreaterThan(3);
    expect(await from.rules(lab)).toEqual([]);
  });
}

/** Programs `side`, and returns how long that takes from the start. */
async function begin(lab: Lab, side: Side, from: Side, fields = LIST): Promise<number> {
  lab.volume.write(config(fields));
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

const timeout = 300_000 + moves * 5_000 + kills * 5_000;

describeKernel("moves between backends under traffic", { timeout }, () => {
  for (const [name, other] of SHOWN) {
    labTest(`${name} and nftables, ${moves} times: nothing left, no flow wrong`, async ({ lab }) => {
      const prober = await openProber(lab);
      await begin(lab, other, NFTABLES);
      const stop = await prober.stream(certainDestinations(SIZES));
      for (let i = 0; i < moves; i++) {
        const [to, from] = sideOf(i, other);
        const agent = start(lab, to);
        const removed = "removed rules of an agent with another backend";
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

  for (const [name, other, [what, load]] of KILLED) {
    labTest(
      `${name} and nftables, ${what}, ${kills} moves killed: the next start finishes them`,
      async ({ lab }) => {
        let aim = await begin(lab, other, NFTABLES, load.fields);
        const stop = await load.stream(lab);
        let unfinished = 0;
        for (let i = 0; i < kills || unfinished === 0; i++) {
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
          `${name} and nftables, ${what}, ${kills} moves killed, ${unfinished} of them unfinished: ${received} new flows, ${wrong} treated wrongly`,
        );
        expect(samples).toEqual([]);
      },
    );
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

describeKernel("--backend=auto", { concurrent: true }, () => {
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

const AUTO = ["--backend=auto", "--enable-ipv6"];

/** An action of another process in the node: a command line of `nft` or a tool. */
type Deed = readonly [file: string, ...args: readonly string[]];

const TABLE_COMES: Deed = ["nft", "add table ip kube-proxy; add chain ip kube-proxy services"];
const TABLE_GOES: Deed = ["nft", "delete table ip kube-proxy"];
const SERVICES_COME: Deed = ["iptables-nft", "-t", "nat", "-N", "KUBE-SERVICES"];
const SERVICES_GO: Deed = ["iptables-nft", "-t", "nat", "-X", "KUBE-SERVICES"];
const HINT: Deed = ["iptables-legacy", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"];

async function act(lab: Lab, [file, ...args]: Deed): Promise<void> {
  expect(await lab.inNode(file, args)).toMatchObject({ code: 0 });
}

/** The rules of one variant alone, of both families. The look itself would make a legacy table. */
async function variantState(lab: Lab, variant: "nft" | "legacy"): Promise<readonly string[]> {
  const saves = ["ip", "ip6"].map((family) => {
    const save = `${family}tables-${variant}-save -t nat`;
    return variant === "nft" ? save : `! grep -qx nat /proc/net/${family}_tables_names || ${save}`;
  });
  const { stdout } = await lab.inNode("sh", ["-c", saves.join("; ")]);
  return stdout.split("\n").filter((line) => line.includes("IP-MASQ-AGENT"));
}

interface Scene {
  /** Whether it is played in `make test`, too. */
  readonly isShown?: true;
  readonly flags: readonly string[];
  /** The actions before the agent starts, and the place of its rules then. */
  readonly before: readonly Deed[];
  readonly begins: (lab: Lab) => Promise<readonly string[]>;
  /** The later actions, each with the place of its rules then, and the log line if that is a new one. */
  readonly changes: readonly (readonly [Deed, (lab: Lab) => Promise<readonly string[]>, string?])[];
}

const inNft = (lab: Lab) => variantState(lab, "nft");
const inLegacy = (lab: Lab) => variantState(lab, "legacy");
const TO_NFTABLES = "nftables (kube-proxy uses nftables) instead of iptables (iptables works)";
const TO_IPTABLES = "iptables (iptables works) instead of nftables (kube-proxy uses nftables)";
const LEGACY = "iptables-legacy (iptables-legacy works)";

const SCENES: Readonly<Record<string, Scene>> = {
  "kube-proxy's first table comes late, goes, and comes again": {
    isShown: true,
    flags: AUTO,
    before: [],
    begins: inNft,
    changes: [
      [TABLE_COMES, nftablesState, TO_NFTABLES],
      [TABLE_GOES, inNft, TO_IPTABLES],
      [TABLE_COMES, nftablesState, TO_NFTABLES],
    ],
  },
  "the table goes, of which the agent knew when it started": {
    flags: AUTO,
    before: [TABLE_COMES],
    begins: nftablesState,
    changes: [[TABLE_GOES, inNft, TO_IPTABLES]],
  },
  "the chains of the other mode stay for a while, and come back": {
    flags: AUTO,
    before: [SERVICES_COME],
    begins: inNft,
    changes: [
      [TABLE_COMES, inNft],
      [SERVICES_GO, nftablesState, TO_NFTABLES],
      [SERVICES_COME, inNft, TO_IPTABLES],
    ],
  },
  "from iptables-legacy": {
    flags: [...AUTO, "--iptables-mode=legacy"],
    before: [],
    begins: inLegacy,
    changes: [
      [TABLE_COMES, nftablesState, `nftables (kube-proxy uses nftables) instead of ${LEGACY}`],
      [TABLE_GOES, inLegacy, `${LEGACY} instead of nftables (kube-proxy uses nftables)`],
    ],
  },
  "at the resync interval only": {
    flags: [...AUTO, "--watch=false"],
    before: [],
    begins: inNft,
    changes: [
      [TABLE_COMES, nftablesState, TO_NFTABLES],
      [TABLE_GOES, inNft, TO_IPTABLES],
    ],
  },
  "the variant of a kubelet that starts later": {
    isShown: true,
    flags: ["--iptables-mode=auto", "--enable-ipv6"],
    before: [],
    begins: inNft,
    changes: [[HINT, inLegacy, "iptables-legacy (--backend) instead of iptables-nft (--backend)"]],
  },
};

/** What of our rules is in the node, but in one place. */
async function elsewhere(lab: Lab, place: Scene["begins"]): Promise<readonly string[]> {
  const others = [inNft, inLegacy, nftablesState].filter((other) => other !== place);
  return (await Promise.all(others.map((look) => look(lab)))).flat();
}

/** Waits until all of the rules are in one place, and nothing elsewhere. */
async function restsIn(lab: Lab, place: Scene["begins"]): Promise<void> {
  const last = place === nftablesState ? 1 : 2;
  await eventually(async () => {
    const masquerades = (await place(lab)).filter((line) =>
      /-j MASQUERADE|masquerade fully-random/.test(line),
    );
    expect(masquerades.length).toBeGreaterThanOrEqual(last);
    expect(await elsewhere(lab, place)).toEqual([]);
  });
}

/** What the agent has said of moves while it ran. */
function movesOf(agent: Agent): readonly string[] {
  return [...agent.log().matchAll(/backend: (.* instead of .*)/g)].map(([, said = ""]) => said);
}

function listFor(resyncInterval: string): string {
  return JSON.stringify({ ...LIST, resyncInterval });
}

describeKernel("--backend=auto while the agent runs", () => {
  labTest.for(cells(Object.entries(SCENES), ([, { isShown }]) => isShown === true))(
    "%s: no flow wrong, nothing left",
    async ([, scene], { lab }) => {
      const prober = await openProber(lab);
      // Nothing tells of legacy tables, or without events of anything, before the resync.
      lab.volume.write(listFor("1s"));
      for (const deed of scene.before) await act(lab, deed);
      const agent = lab.startAgent({ flags: scene.flags });
      await restsIn(lab, scene.begins);
      const stop = await prober.stream(certainDestinations(SIZES));
      for (const [deed, place] of scene.changes) {
        await act(lab, deed);
        await restsIn(lab, place);
      }
      const { received, wrong, samples } = await stop();
      console.log(`${received} new flows, ${wrong} treated wrongly`);
      expect(samples).toEqual([]);
      expect(received).toBeGreaterThan(scene.changes.length * 100);
      const moves = scene.changes.flatMap(([, , said]) => said ?? []);
      await eventually(() => expect(movesOf(agent)).toEqual(moves));
      expect([...logged(agent, "E"), ...logged(agent, "W")]).toEqual([]);
    },
  );

  labTest("kube-proxy starts again and again: it stays", async ({ lab }) => {
    await act(lab, TABLE_COMES);
    lab.volume.write(listFor("1h"));
    const agent = lab.startAgent({ flags: AUTO });
    await restsIn(lab, nftablesState);
    for (let i = 0; i < times(2, 12); i++) {
      // In one shell: after three seconds it would be a true change.
      const restart = `nft '${TABLE_GOES[1]}'; sleep ${(i % 4) * 0.5}; nft '${TABLE_COMES[1]}'`;
      await act(lab, ["sh", "-c", restart]);
    }
    // A true change is the first that it acts on.
    await act(lab, TABLE_GOES);
    await restsIn(lab, inNft);
    await eventually(() => expect(movesOf(agent)).toEqual([TO_IPTABLES]));
  });

  labTest(
    "a bad configuration, or a table of others, keeps the old rules whole until it is gone",
    async ({ lab }) => {
      const good = { nonMasqueradeCIDRs: ["10.0.0.0/8"], resyncInterval: "1s" };
      lab.volume.write(config(good));
      const agent = lab.startAgent({ flags: AUTO });
      await restsIn(lab, inNft);
      await act(lab, ["nft", "add table inet ip-masq-agent"]);
      await act(lab, TABLE_COMES);
      await eventually(() => expect(logged(agent, "E").join()).toContain("table inet ip-masq-agent"));
      lab.volume.write("nonMasqueradeCIDRs: [bad]");
      await eventually(() => expect(logged(agent, "E").join()).toContain("Error syncing configuration"));
      await act(lab, ["nft", "delete table inet ip-masq-agent"]);
      // It heals what it has.
      const whole = await inNft(lab);
      await act(lab, ["iptables-nft", "-t", "nat", "-F", "IP-MASQ-AGENT"]);
      await eventually(async () => expect(await inNft(lab)).toEqual(whole));
      await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node" });
      lab.volume.write(config(good));
      await restsIn(lab, nftablesState);
      await expectVerdicts(lab, { "10.10.0.1": "pod", "8.8.8.8": "node" });
    },
  );

  labTest("doctor names a choice that would be another one now", async ({ lab }) => {
    lab.volume.write(listFor("1h"));
    const agent = lab.startAgent({ flags: AUTO });
    await restsIn(lab, inNft);
    const doctor = async () => {
      const { stdout } = await lab.program(["doctor", "--interval=0s", "-o", "json"]);
      const { findings } = JSON.parse(stdout) as { findings: readonly { check: string; message: string }[] };
      return findings.filter(({ check }) => check === "auto-backend").map(({ message }) => message);
    };
    expect(await doctor()).toEqual([]);
    // As one of an earlier version, which chose once.
    process.kill(agent.pid, "SIGSTOP");
    await act(lab, TABLE_COMES);
    expect(await doctor()).toEqual([expect.stringContaining("--backend=auto chooses nftables now")]);
    process.kill(agent.pid, "SIGCONT");
    await restsIn(lab, nftablesState);
    await eventually(async () => expect(await doctor()).toEqual([]));
  });

  labTest("status and metrics follow", async ({ lab }) => {
    lab.volume.write(listFor("1h"));
    lab.startAgent({ flags: AUTO });
    await restsIn(lab, inNft);
    for (const [deed, place, name] of [
      [TABLE_COMES, nftablesState, "nftables"],
      [TABLE_GOES, inNft, "iptables"],
    ] as const) {
      await act(lab, deed);
      await restsIn(lab, place);
      // The agent's answers follow the rules, at the pass's end.
      const status = await eventually(async () => {
        const { stdout } = await lab.program(["status", "-o", "json"]);
        const answer = JSON.parse(stdout) as {
          backend: { name: string };
          rules: Record<string, { inForce: boolean }>;
        };
        expect(answer.backend.name).toBe(name);
        return answer;
      });
      expect(Object.values(status.rules).every(({ inForce }) => inForce)).toBe(true);
      const { body } = await httpGet(lab, "http://127.0.0.1:10279/metrics");
      expect(body.match(/build_info\{.*/g)).toHaveLength(1);
      expect(body).toMatch(new RegExp(`build_info\\{.*backend="${name}".*\\} 1`));
    }
  });
});

/**
 * How soon the agent acts, with its default options: from a ConfigMap that is swapped in to its rules in the kernel, and
 * from a commit of another process that breaks the rules to the right ones. The time begins with the swap, or with the kernel's
 * event of the foreign commit; it ends with the event of the commit that made the rules right.
 */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createLab } from "../test/lab/network/lab.ts";
import type { Agent } from "../test/lab/network/processes.ts";
import { type BackendName, driftKinds, type Request } from "./probe.ts";
import { machine, table } from "./report.ts";
import { inTurn, type Run, type Side, titled } from "./sides.ts";
import { quantile } from "./statistics.ts";
import { startTask } from "./task.ts";

/** The agent repairs at once up to 600 times in five minutes, so that a lane may be broken twice a second. */
const REST_MS = 520;
const LANES: readonly BackendName[] = ["iptables", "nftables", "iptables", "nftables"];
const SWAP = "configuration swapped";

/** The targets: milliseconds at most, of half of the trials and of 99 %. */
const TARGETS: Readonly<Record<BackendName, Readonly<Record<"swap" | "drift", readonly [number, number]>>>> =
  {
    iptables: { swap: [40, 120], drift: [40, 100] },
    nftables: { swap: [15, 50], drift: [10, 100] },
  };
const FLAGS: Readonly<Record<BackendName, readonly string[]>> = {
  iptables: ["--backend=iptables", "--iptables-mode=nft"],
  nftables: ["--backend=nftables"],
};

/** The texts that the configuration is swapped between; the first is in force to begin with. */
const TEXTS = ["192.168.0.0/16", "198.51.100.0/24"].map((last) =>
  JSON.stringify({ nonMasqueradeCIDRs: ["10.0.0.0/8", "172.16.0.0/12", last] }),
);

interface Series {
  readonly side: Side;
  readonly backend: BackendName;
  readonly what: string;
  readonly times: number[];
}

/** A node with one agent in it, and a probe that changes and watches its rules. */
interface Lane {
  readonly side: Side;
  readonly backend: BackendName;
  readonly agent: Agent;
  /** The milliseconds until the rules were right. */
  readonly ask: (request: Request) => Promise<number>;
  readonly end: () => Promise<void>;
  swaps: number;
  restedAt: number;
}

/** Prints the times of so many trials of each kind. */
export async function measureReactions(run: Run): Promise<void> {
  console.log(`\n${machine()}`);
  const { sides, trials = run.full ? 200 : 40 } = run;
  const lanes: Lane[] = [];
  for (const backend of LANES) for (const side of sides) lanes.push(await startLane(side, backend));
  const kinds = (["iptables", "nftables"] as const).flatMap((backend) =>
    [SWAP, ...driftKinds(backend)].map((what) =>
      sides.map((side): Series => ({ side, backend, what, times: [] })),
    ),
  );
  for (let trial = 0; trial < trials; trial++)
    for (const [i, one] of kinds.flatMap((kind) => inTurn(kind, trial)).entries()) {
      const own = lanes.filter(({ side, backend }) => side === one.side && backend === one.backend);
      // Not always the same kind in the same lane.
      one.times.push(await tryIn(own[(trial + i) % own.length] as Lane, one.what));
    }
  console.log(`\nReaction, milliseconds, ${trials} trials of each:\n${reactionTable(kinds.flat())}`);
  for (const { agent, backend, side, end } of lanes) {
    await end();
    const lines = agent.log().match(/^[WE]\d{4} (?!.*: healed: ).*$/gm) ?? [];
    if (lines.length > 0) console.log(`${titled(backend, side)}, warnings and errors: ${lines.join("\n")}`);
  }
}

/** Milliseconds of one trial, after a rest of the lane. */
async function tryIn(lane: Lane, what: string): Promise<number> {
  await pause(Math.max(0, lane.restedAt - performance.now()));
  const text = what === SWAP ? TEXTS[++lane.swaps % TEXTS.length] : undefined;
  const ms = await lane.ask(text === undefined ? { do: "drift", kind: what } : { do: "swap", text });
  lane.restedAt = performance.now() + REST_MS;
  return ms;
}

/** Returns once the probe knows the rules for each of the texts. */
async function startLane(side: Side, backend: BackendName): Promise<Lane> {
  const lab = await createLab();
  const directory = join(lab.directory, "volume");
  const probe = await startTask<Request, number>(lab.inside("node"), "probe", backend, directory);
  const ask = (request: Request) =>
    probe.ask(request).catch((error: unknown) => {
      throw new Error(`${backend}, ${JSON.stringify(request)}: ${agent.log().slice(-2_000)}`, {
        cause: error,
      });
    });
  const learning = ask({ do: "learn", text: TEXTS[0] ?? "" });
  const flags = [...FLAGS[backend], `--config=${join(directory, "ip-masq-agent")}`];
  const agent = lab.startAgent({ ...side, flags });
  await learning;
  await ask({ do: "learn", text: TEXTS[1] ?? "" });
  await ask({ do: "swap", text: TEXTS[0] ?? "" });
  const end = () => lab.close();
  return { side, backend, agent, ask, end, swaps: 0, restedAt: 0 };
}

function reactionTable(all: readonly Series[]): string {
  return table(
    ["backend", "event", "p50", "p90", "p99", "max", "target p50, p99"],
    all.map(({ side, backend, what, times }) => {
      const [p50, p99] = TARGETS[backend][what === SWAP ? "swap" : "drift"];
      const [half, most] = [quantile(times, 0.5), quantile(times, 0.99)];
      const missed = [half >= p50 ? "p50" : "", most >= p99 ? "p99" : ""].filter(Boolean).join(" and ");
      const cells = [half, quantile(times, 0.9), most, Math.max(...times)].map((ms) => ms.toFixed(1));
      const target = `${p50}, ${p99}${missed === "" ? "" : ` (${missed} MISSED)`}`;
      return [titled(backend, side), what, ...cells, target];
    }),
  );
}

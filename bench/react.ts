/**
 * How soon the agent acts, with its default options: from a ConfigMap that is swapped in to its rules in the kernel, and
 * from a commit of somebody who breaks the rules to the right ones. The time begins with the swap, or when the kernel
 * tells of the foreign commit; it ends when it tells of the commit after which the right rules stand.
 */
import { type Lane, startLane, TEXTS } from "./lane.ts";
import { createStand } from "./namespaces.ts";
import { driftKinds, type Request } from "./probe.ts";
import { machine, table } from "./report.ts";
import type { BackendName } from "./standing.ts";
import { quantile } from "./statistics.ts";

/**
 * Healing is at once up to 600 times in five minutes, so that a lane may be broken twice a second; there are
 * several, which take turns.
 */
const REST_MS = 520;
const LANES: readonly BackendName[] = ["iptables", "nftables", "iptables", "nftables"];

/** The targets: milliseconds at most, of half of the trials and of 99 %. */
const TARGETS: Readonly<Record<BackendName, Readonly<Record<"swap" | "drift", readonly [number, number]>>>> =
  {
    iptables: { swap: [40, 120], drift: [40, 100] },
    nftables: { swap: [15, 50], drift: [10, 100] },
  };

const SWAP = "configuration swapped";

interface Series {
  readonly backend: BackendName;
  readonly what: string;
  readonly times: number[];
}

/** Prints the times of so many trials of each kind. */
export async function measureReactions(nodePath: string, trials: number): Promise<void> {
  console.log(`\n${machine()}`);
  const stand = await createStand();
  try {
    const lanes: Lane[] = [];
    for (const backend of LANES) lanes.push(await startLane(stand, nodePath, backend));
    const all = kinds();
    const restedAt = new Map<Lane, number>();
    for (let trial = 0; trial < trials; trial++) {
      for (const [i, series] of all.entries()) {
        // Not always the same kind in the same lane.
        const own = lanes.filter(({ backend }) => backend === series.backend);
        const lane = own[(trial + i) % own.length] as Lane;
        await pause((restedAt.get(lane) ?? 0) - performance.now());
        series.times.push(await lane.ask(requestFor(series.what, lane)));
        restedAt.set(lane, performance.now() + REST_MS);
      }
    }
    console.log(`\nReaction, milliseconds, ${trials} trials of each:\n${reactionTable(all)}`);
    for (const lane of lanes) {
      await lane.end();
      const complaints = lane.agent.log().match(/^[WE]\d{4} .*$/gm) ?? [];
      if (complaints.length > 0) console.log(`${lane.backend} complained: ${complaints.join("\n")}`);
    }
  } finally {
    stand.close();
  }
}

/** All kinds, the backends in turn. */
function kinds(): readonly Series[] {
  const of = (backend: BackendName) =>
    [SWAP, ...driftKinds(backend)].map((what): Series => ({ backend, what, times: [] }));
  return [...of("iptables"), ...of("nftables")];
}

const swapped = new WeakMap<Lane, number>();

function requestFor(what: string, lane: Lane): Request {
  if (what !== SWAP) return { do: "drift", kind: what, storm: false };
  const which = ((swapped.get(lane) ?? 0) + 1) % TEXTS.length;
  swapped.set(lane, which);
  return { do: "swap", text: TEXTS[which] ?? "" };
}

function reactionTable(all: readonly Series[]): string {
  return table(
    ["backend", "what happens", "p50", "p90", "p99", "max", "target p50, p99"],
    all.map(({ backend, what, times }) => {
      const [p50, p99] = TARGETS[backend][what === SWAP ? "swap" : "drift"];
      const [half, most] = [quantile(times, 0.5), quantile(times, 0.99)];
      const missed = [half >= p50 ? "p50" : "", most >= p99 ? "p99" : ""].filter(Boolean).join(" and ");
      const cells = [half, quantile(times, 0.9), most, Math.max(...times)].map((ms) => ms.toFixed(1));
      return [backend, what, ...cells, `${p50}, ${p99}${missed === "" ? "" : ` (${missed} MISSED)`}`];
    }),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

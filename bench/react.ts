/**
 * How soon the agent acts, with its default options: from a ConfigMap that is swapped in to its rules in the kernel, and
 * from a commit of another process that breaks the rules to the right ones. The time begins with the swap, or with the kernel's
 * event of the foreign commit; it ends with the event of the commit that made the rules right.
 */
import { type Lane, startLane, TEXTS } from "./lane.ts";
import { driftKinds, type Request } from "./probe.ts";
import { machine, table } from "./report.ts";
import { inTurn, type Side, titled } from "./sides.ts";
import type { BackendName } from "./snapshot.ts";
import { quantile } from "./statistics.ts";
import { createTestbed } from "./testbed.ts";

/** The agent repairs at once up to 600 times in five minutes, so that a lane may be broken twice a second. */
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
  readonly side: Side;
  readonly backend: BackendName;
  readonly what: string;
  readonly times: number[];
}

/** Prints the times of so many trials of each kind. */
export async function measureReactions(sides: readonly Side[], trials: number): Promise<void> {
  console.log(`\n${machine()}`);
  const testbed = await createTestbed();
  try {
    const lanes: Lane[] = [];
    for (const backend of LANES)
      for (const side of sides) lanes.push(await startLane(testbed, side, backend));
    const kinds = (["iptables", "nftables"] as const).flatMap((backend) =>
      [SWAP, ...driftKinds(backend)].map((what) =>
        sides.map((side): Series => ({ side, backend, what, times: [] })),
      ),
    );
    const restedAt = new Map<Lane, number>();
    for (let trial = 0; trial < trials; trial++) {
      for (const [i, series] of kinds.flatMap((kind) => inTurn(kind, trial)).entries()) {
        // Not always the same kind in the same lane.
        const own = lanes.filter(({ side, backend }) => side === series.side && backend === series.backend);
        const lane = own[(trial + i) % own.length] as Lane;
        await pause((restedAt.get(lane) ?? 0) - performance.now());
        series.times.push(await lane.ask(requestFor(series.what, lane)));
        restedAt.set(lane, performance.now() + REST_MS);
      }
    }
    console.log(`\nReaction, milliseconds, ${trials} trials of each:\n${reactionTable(kinds.flat())}`);
    for (const lane of lanes) {
      await lane.end();
      const lines = lane.agent.log().match(/^[WE]\d{4} .*$/gm) ?? [];
      const complaints = lines.filter((line) => !line.includes(": healed: "));
      if (complaints.length > 0)
        console.log(`${titled(lane.backend, lane.side)}, warnings and errors: ${complaints.join("\n")}`);
    }
  } finally {
    testbed.close();
  }
}

const swapped = new WeakMap<Lane, number>();

function requestFor(what: string, lane: Lane): Request {
  if (what !== SWAP) return { do: "drift", kind: what };
  const which = ((swapped.get(lane) ?? 0) + 1) % TEXTS.length;
  swapped.set(lane, which);
  return { do: "swap", text: TEXTS[which] ?? "" };
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * The cost of a new flow: all targets and the floor in turn, in bursts, so that other work of the machine affects
 * all of them alike. A figure is the difference to the floor in the same round.
 */
import { parseConntrackCounters } from "../src/system/conntrack-stats.ts";
import { PLACES, POSITIONS, type Position } from "./lists.ts";
import type { SendReply, SendRequest } from "./sender.ts";
import { median, medianError } from "./statistics.ts";
import { startTask, type Task } from "./task.ts";
import type { BenchNode, Testbed } from "./testbed.ts";

/** A node whose flows are measured. */
export interface Target {
  readonly name: string;
  readonly node: BenchNode;
  /** The command that lists its rules with their counters. */
  readonly listing: readonly string[];
  /** It has no list, so it keeps no flow. */
  readonly isFloor?: boolean;
}

/** The cost of a new flow at one node, for destinations at one position of a list. */
export interface FlowCost {
  readonly name: string;
  readonly count: number;
  readonly position: Position;
  /** Nanoseconds above the floor, and half the 95 % confidence interval of that. */
  readonly aboveNs: number;
  readonly errorNs: number;
  /** The floor, less what sending costs without a node. */
  readonly floorNs: number;
  readonly aloneNs: number;
  /** How often it was measured beside the floor. */
  readonly rounds: number;
}

export type Sender = Task<SendRequest, SendReply>;

/** Sends packets from the pod until it is ended. */
export function startSender({ podPrefix }: Testbed): Promise<Sender> {
  return startTask(podPrefix, "sender");
}

/** Measures every position of a list of this length; the first target is the floor. Fails if a packet got a wrong verdict. */
export async function measureFlows(
  { aloneSource }: Testbed,
  sender: Sender,
  targets: readonly Target[],
  count: number,
  budgetMs: number,
): Promise<FlowCost[]> {
  const before = await Promise.all(targets.map(readCounters));
  const sent = targets.map(() => ({ kept: 0, masqueraded: 0 }));
  const costs: FlowCost[] = [];
  const sources = [aloneSource, ...targets.map(({ node }) => node.source)];
  // A list without an entry has no first.
  for (const position of count === 0 ? (["gap"] as const) : POSITIONS) {
    const reply = await sender.ask({ position, count, sources, budgetMs });
    for (const [i, total] of sent.entries()) {
      const isKept = PLACES[position].isKept && targets[i]?.isFloor !== true;
      total[isKept ? "kept" : "masqueraded"] += reply.sent[i + 1] ?? 0;
    }
    costs.push(...costsOf(targets, count, position, reply));
  }
  for (const [i, target] of targets.entries())
    await verify(target, before[i] as Verdicts, sent[i] as Verdicts);
  return costs;
}

function costsOf(
  targets: readonly Target[],
  count: number,
  position: Position,
  { bursts: [alone = [], floor = [], ...others] }: SendReply,
): FlowCost[] {
  const aloneNs = median(alone);
  const floorNs = median(floor) - aloneNs;
  return others.map((bursts, i) => {
    const above = bursts.map((ns, round) => ns - (floor[round] ?? Number.NaN));
    const cost = { aboveNs: median(above), errorNs: medianError(above), floorNs, aloneNs };
    return { name: targets[i + 1]?.name ?? "", count, position, ...cost, rounds: bursts.length };
  });
}

/** How many flows the rules have seen: a NAT chain gets the first packet of a flow only. */
interface Verdicts {
  kept: number;
  masqueraded: number;
}

/** A line of nft's list, or of iptables-save. */
const COUNTED =
  /counter packets (\d+) bytes \d+ (return|masquerade|snat)|^\[(\d+):\d+\] -A .*-j (RETURN|MASQUERADE|SNAT)/gm;

async function readCounters({ node, listing: [file = "", ...args] }: Target): Promise<Verdicts> {
  const verdicts: Verdicts = { kept: 0, masqueraded: 0 };
  for (const [, ofNft, verdict, ofSave, target] of (await node.run(file, args)).matchAll(COUNTED)) {
    const isKept = (verdict ?? target ?? "").toLowerCase() === "return";
    verdicts[isKept ? "kept" : "masqueraded"] += Number(ofNft ?? ofSave);
  }
  return verdicts;
}

/** Each packet was a new flow, none was lost or pushed out of the table, and each got the verdict of its position. */
async function verify(target: Target, before: Verdicts, sent: Verdicts): Promise<void> {
  const after = await readCounters(target);
  const seen = { kept: after.kept - before.kept, masqueraded: after.masqueraded - before.masqueraded };
  if (seen.kept !== sent.kept || seen.masqueraded !== sent.masqueraded)
    throw new Error(`${target.name}: sent ${JSON.stringify(sent)}, the rules saw ${JSON.stringify(seen)}`);
  const counters = parseConntrackCounters(await target.node.run("cat", ["/proc/net/stat/nf_conntrack"]));
  const trouble = ["insert_failed", "drop", "early_drop"].filter((name) => counters[name] !== 0);
  if (trouble.length > 0)
    throw new Error(`${target.name}: connection tracking: ${JSON.stringify(counters, trouble)}`);
}

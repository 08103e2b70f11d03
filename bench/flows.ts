/**
 * The cost of a new flow: all backends and the floor in turn, in bursts, so that other work of the machine affects
 * all of them alike. A figure is the difference to the floor in the same round.
 *
 * A second floor is measured like a backend: its distance from the first shows the noise.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type BenchBackend, runTool, type ToolRun } from "./backends.ts";
import { isKept, POSITIONS, type Position } from "./lists.ts";
import type { SendReply, SendRequest } from "./sender.ts";
import { median, medianError } from "./statistics.ts";
import type { BenchNode, Testbed } from "./testbed.ts";

/** A node whose flows are measured. */
export interface Target {
  readonly name: string;
  readonly node: BenchNode;
  readonly listing: ToolRun;
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

/** Sends packets from the pod until it is ended. */
export interface Sender {
  readonly send: (request: SendRequest) => Promise<SendReply>;
  readonly end: () => void;
}

/** A list without an entry has no first. */
export function positionsOf(count: number): readonly Position[] {
  return count === 0 ? ["gap"] : POSITIONS;
}

/** Starts the sender in the pod: this program, with another task. */
export function startSender({ podPrefix }: Testbed): Sender {
  const [file = "", ...args] = [...podPrefix, process.execPath, process.argv[1] ?? "", "--sender"];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async send(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await replies.next();
      if (done === true) throw new Error("the sender has ended");
      return JSON.parse(value) as SendReply;
    },
    end: () => child.stdin.end(),
  };
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
  for (const position of positionsOf(count)) {
    const reply = await sender.send({ position, count, sources, budgetMs });
    for (const [i, total] of sent.entries()) {
      const isFloor = targets[i]?.listing === targets[0]?.listing;
      total[isKept(position) && !isFloor ? "kept" : "masqueraded"] += reply.sent[i + 1] ?? 0;
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
  return others.map((bursts, i) => {
    const above = bursts.map((ns, round) => ns - (floor[round] ?? Number.NaN));
    return {
      name: targets[i + 1]?.name ?? "",
      count,
      position,
      aboveNs: median(above),
      errorNs: medianError(above),
      floorNs: median(floor) - aloneNs,
      aloneNs,
      rounds: bursts.length,
    };
  });
}

/** How many flows the rules have seen: a NAT chain gets the first packet of a flow only. */
interface Verdicts {
  kept: number;
  masqueraded: number;
}

async function readCounters({ node, listing }: Target): Promise<Verdicts> {
  const verdicts: Verdicts = { kept: 0, masqueraded: 0 };
  // A line of nft's list, or of iptables-save.
  const pattern =
    /counter packets (\d+) bytes \d+ (return|masquerade|snat)|^\[(\d+):\d+\] -A .*-j (RETURN|MASQUERADE|SNAT)/gm;
  for (const [, ofNft, verdict, ofSave, target] of (await runTool(node, listing)).matchAll(pattern)) {
    const packets = Number(ofNft ?? ofSave);
    if ((verdict ?? target ?? "").toLowerCase() === "return") verdicts.kept += packets;
    else verdicts.masqueraded += packets;
  }
  return verdicts;
}

/** Each packet was a new flow, none was lost or pushed out of the table, and each got the verdict of its position. */
async function verify(target: Target, before: Verdicts, sent: Verdicts): Promise<void> {
  const after = await readCounters(target);
  const seen = { kept: after.kept - before.kept, masqueraded: after.masqueraded - before.masqueraded };
  if (seen.kept !== sent.kept || seen.masqueraded !== sent.masqueraded)
    throw new Error(`${target.name}: sent ${JSON.stringify(sent)}, the rules saw ${JSON.stringify(seen)}`);
  const trouble = conntrackTrouble(await target.node.run("cat", ["/proc/net/stat/nf_conntrack"]));
  if (trouble.length > 0) throw new Error(`${target.name}: connection tracking: ${trouble.join(", ")}`);
}

/** Connection tracking's counters of failures; one line for each processor, in hexadecimal. */
function conntrackTrouble(text: string): string[] {
  const [names = [], ...processors] = text
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/));
  return ["insert_failed", "drop", "early_drop"].flatMap((name) => {
    const column = names.indexOf(name);
    const sum = processors.reduce((all, row) => all + Number.parseInt(row[column] ?? "0", 16), 0);
    return sum > 0 ? [`${name} ${sum}`] : [];
  });
}

/** The floor, the floor again, and a target for each backend of a group. */
export function targetsOf(
  floors: readonly [BenchNode, BenchNode],
  ways: readonly { readonly backend: BenchBackend; readonly node: BenchNode }[],
  group: BenchBackend["group"],
): Target[] {
  const listing: ToolRun = { file: "nft", args: ["list", "ruleset"] };
  return [
    { name: "floor", node: floors[0], listing },
    { name: `the floor again, beside ${group}`, node: floors[1], listing },
    ...ways
      .filter(({ backend }) => backend.group === group)
      .map(({ backend: { name, listing }, node }) => ({ name, node, listing })),
  ];
}

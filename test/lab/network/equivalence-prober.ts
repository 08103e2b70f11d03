/** Flows to any address there is, in great number: the handle of the processes of equivalence-probe.ts. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { command } from "../command.ts";
import { times } from "../length.ts";
import type { Answer, ReceiverCommand, Sender, SenderCommand, Tally } from "./equivalence-probe.ts";
import { helperScript } from "./helper.ts";
import { eventually, type Lab } from "./lab.ts";
import type { Seen } from "./processes.ts";

/** What a stream of new flows came to. */
export interface Flows extends Omit<Tally, "kind"> {
  readonly sent: number;
}

/** What arrived of a flow, and at which port. */
export interface Arrived extends Seen {
  readonly to: number;
}

export interface Prober {
  /** A new flow to each destination, `ADDRESS` or `ADDRESS PORT`; undefined for what did not arrive in so many attempts. */
  readonly look: (
    destinations: readonly string[],
    attempts?: number,
  ) => Promise<readonly (Arrived | undefined)[]>;
  /** A new flow to each destination; the sources that were seen, in order. Throws if one does not arrive. */
  readonly probe: (destinations: readonly string[]) => Promise<readonly Seen[]>;
  /** New flows to these destinations, over and over, until the function that it returns is called. */
  readonly stream: (
    expected: Readonly<Record<string, Sender>>,
    perSecond?: number,
  ) => Promise<() => Promise<Flows>>;
}

/** Once all flows are on their way and none has arrived for so long, those that are missing are made again, a few times. */
const QUIET_MS = 250;
const ATTEMPTS = 5;

/** At length as many as the sender makes on one core, with the other left to the agent and the receiver. */
const PER_SECOND = times(1_000, 15_000);

/** Everything that arrives in the world is for the world, whatever the address; what leaves it finds its way as before. */
const WORLD_OWNS_ALL = ["-4", "-6"].flatMap((family) => [
  [family, "rule", "add", "iif", "eth0", "lookup", "100"],
  [family, "route", "add", "local", "default", "dev", "lo", "table", "100"],
]);

/** Lets the lab's world own every address, and starts what makes flows to them. */
export async function openProber(lab: Lab): Promise<Prober> {
  const script = join(lab.directory, "probe.cjs");
  writeFileSync(script, await helperScript("equivalence-probe"));
  for (const args of WORLD_OWNS_ALL) {
    const [file = "", ...rest] = lab.inside("world", "ip", ...args);
    await command(file, rest);
  }
  const [sender, receiver] = await Promise.all([
    start(lab.inside("pod", process.execPath, script, "sender")),
    start(lab.inside("world", process.execPath, script, "receiver")),
  ]);
  const look = createLook(sender, receiver);
  return { look, probe: (destinations) => probe(look, destinations), stream: createStream(sender, receiver) };
}

/** A helper: commands go in, and answers come out. */
interface Helper {
  readonly tell: (command: SenderCommand | ReceiverCommand) => void;
  /** Receives the answers of a kind from now on, instead of the previous listener. */
  readonly listen: <K extends Answer["kind"]>(
    kind: K,
    listener: (answer: Extract<Answer, { kind: K }>) => void,
  ) => void;
}

function start([file = "", ...args]: readonly string[]): Promise<Helper> {
  const child: ChildProcess = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const listeners = new Map<Answer["kind"], (answer: never) => void>();
  // It ends with the lab; callers that wait for an answer have a deadline.
  child.stdin?.on("error", () => {});
  const helper: Helper = {
    tell: (value) => child.stdin?.write(`${JSON.stringify(value)}\n`),
    listen: (kind, listener) => listeners.set(kind, listener),
  };
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("exit", () => reject(new Error("a helper ended before it was ready")));
    helper.listen("ready", () => resolve(helper));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const answer = JSON.parse(line) as Answer;
      listeners.get(answer.kind)?.(answer as never);
    });
  });
}

/** The next answer of a kind; the first of those to a command if this is called before it. */
function next<K extends Answer["kind"]>(helper: Helper, kind: K): Promise<Extract<Answer, { kind: K }>> {
  return new Promise((resolve) => helper.listen(kind, resolve));
}

async function probe(look: Prober["look"], destinations: readonly string[]): Promise<readonly Seen[]> {
  const seen = await look(destinations);
  const lost = destinations.filter((_, index) => seen[index] === undefined);
  if (lost.length > 0) throw new Error(`nothing arrived at ${lost}`);
  return seen.flatMap((one) => one ?? []);
}

function createLook(sender: Helper, receiver: Helper): Prober["look"] {
  let id = 0;
  const attempt = async (destinations: readonly string[]): Promise<(Arrived | undefined)[]> => {
    const seen = new Array<Arrived | undefined>(destinations.length).fill(undefined);
    const current = ++id;
    let arrived = 0;
    const all = new Promise<void>((resolve) =>
      receiver.listen("arrival", ({ id: of, index, address, port, to }) => {
        if (of !== current) return;
        if (seen[index] === undefined) arrived++;
        seen[index] = { address, port, to };
        if (arrived === destinations.length) resolve();
      }),
    );
    const sent = next(sender, "probed");
    sender.tell({ command: "probe", id: current, destinations });
    const isOver = () => current !== id || arrived === destinations.length;
    await Promise.race([all, sent.then(() => silence(receiver, current, () => arrived, isOver))]);
    return seen;
  };
  return async (destinations, attempts = ATTEMPTS) => {
    if (destinations.length === 0) return [];
    const seen = await attempt(destinations);
    const lost = () => [...seen.keys()].filter((index) => seen[index] === undefined);
    for (let i = 1; i < attempts && lost().length > 0; i++) {
      const again = lost();
      const more = await attempt(again.map((index) => destinations[index] ?? ""));
      for (const [at, index] of again.entries()) seen[index] = more[at];
    }
    return seen;
  };
}

/** Resolves when nothing arrives any more. However slow the machine is, the receiver says that it has read what there was. */
async function silence(
  receiver: Helper,
  id: number,
  arrived: () => number,
  isOver: () => boolean,
): Promise<void> {
  for (let before = -1; before < arrived(); ) {
    before = arrived();
    await setTimeout(QUIET_MS);
    if (isOver()) return;
    await new Promise<void>((resolve) => {
      receiver.listen("echo", (echo) => {
        if (echo.id === id) resolve();
      });
      receiver.tell({ command: "echo", id });
    });
  }
}

function createStream(sender: Helper, receiver: Helper): Prober["stream"] {
  const report = () => {
    const tally = next(receiver, "tally");
    receiver.tell({ command: "report" });
    return tally;
  };
  return async (expected, perSecond = PER_SECOND) => {
    await report();
    const ended = next(sender, "sent");
    sender.tell({ command: "stream", expected: Object.entries(expected), perSecond });
    return async () => {
      sender.tell({ command: "stop" });
      const { sent, failed } = await ended;
      if (failed.length > 0) throw new Error(`flows that could not be made: ${failed.join("; ")}`);
      const tallies: Tally[] = [];
      // What was sent last may still be on its way through the receiver's buffers; once nothing comes, it has arrived.
      await eventually(async () => {
        const tally = await report();
        tallies.push(tally);
        if (tally.received > 0) throw new Error("flows still arrive");
      });
      const sum = (field: "received" | "wrong") => tallies.reduce((total, tally) => total + tally[field], 0);
      const samples = tallies.flatMap((tally) => tally.samples);
      return { sent, received: sum("received"), wrong: sum("wrong"), samples };
    };
  };
}

/** Flows to any address there is, in great number: the handle of the processes of equivalence-probe.ts. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { command } from "../command.ts";
import { times } from "../length.ts";
import type { Arrival, Sender, SenderCommand, Tally } from "./equivalence-probe.ts";
import { helperScript } from "./helper.ts";
import { eventually, type Lab } from "./lab.ts";
import type { Sent } from "./pace.ts";
import type { Seen } from "./processes.ts";

/** What a stream of new flows came to. */
export interface Flows extends Tally {
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

/** How long a flow may take to arrive before it is made again, which is done a few times. */
const ARRIVAL_MS = 500;
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
  readonly tell: (command: SenderCommand | "report") => void;
  /** Receives the packets from now on, instead of the previous listener. */
  readonly listen: (listener: (answer: unknown) => void) => void;
}

function start([file = "", ...args]: readonly string[]): Promise<Helper> {
  const child: ChildProcess = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  let listener: (answer: unknown) => void = () => {};
  // It ends with the lab; callers that wait for an answer have a deadline.
  child.stdin?.on("error", () => {});
  const helper: Helper = {
    tell: (value) => child.stdin?.write(`${JSON.stringify(value)}\n`),
    listen: (next) => {
      listener = next;
    },
  };
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("exit", () => reject(new Error("a helper ended before it was ready")));
    listener = () => resolve(helper);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
      listener(JSON.parse(line)),
    );
  });
}

async function probe(look: Prober["look"], destinations: readonly string[]): Promise<readonly Seen[]> {
  const seen = await look(destinations);
  const lost = destinations.filter((_, index) => seen[index] === undefined);
  if (lost.length > 0) throw new Error(`nothing arrived at ${lost}`);
  return seen.flatMap((one) => one ?? []);
}

function createLook(sender: Helper, receiver: Helper): Prober["look"] {
  let id = 0;
  const attempt = (destinations: readonly string[]): Promise<(Arrived | undefined)[]> => {
    const seen = new Array<Arrived | undefined>(destinations.length).fill(undefined);
    let missing = destinations.length;
    const current = ++id;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(seen), ARRIVAL_MS);
      receiver.listen((answer) => {
        const { id: of, index, address, port, to } = answer as Arrival;
        if (of !== current) return;
        if (seen[index] === undefined) missing--;
        seen[index] = { address, port, to };
        if (missing > 0) return;
        clearTimeout(timer);
        resolve(seen);
      });
      sender.tell({ command: "probe", id: current, destinations });
    });
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

function createStream(sender: Helper, receiver: Helper): Prober["stream"] {
  const report = () =>
    new Promise<Tally>((resolve) => {
      receiver.listen((answer) => resolve(answer as Tally));
      receiver.tell("report");
    });
  const answered = () => new Promise<Sent>((resolve) => sender.listen((answer) => resolve(answer as Sent)));
  return async (expected, perSecond = PER_SECOND) => {
    await report();
    const ended = answered();
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

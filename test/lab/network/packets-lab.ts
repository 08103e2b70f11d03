/** Makes the rows of packets.ts in a lab, and looks at what becomes of them. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { command } from "../command.ts";
import { times } from "../length.ts";
import { type Expected, expectedOfRow, type PacketSettings, type Row, TUNNEL_PORTS } from "../packets.ts";
import { eventually, type Lab } from "./lab.ts";
import type { FlowToMake, ProbeArrival, ProbeCommand, StreamEnd, StreamTally } from "./packets-probe.ts";
import { furnishPackets } from "./packets-topology.ts";

type Place = Row["from"];
const PLACES_OF_PROBES: readonly Place[] = ["pod", "node", "world"];

export interface Packets {
  /** Makes a flow of each row; what was seen of it, or undefined if it does not arrive however often it is made. */
  readonly look: (rows: readonly Row[]) => Promise<readonly (ProbeArrival | undefined)[]>;
  /** What is wrong with the rows under these settings, a line each; a row that did not arrive is wrong. */
  readonly wrong: (settings: PacketSettings, rows: readonly Row[]) => Promise<readonly string[]>;
  /** New flows of rows that are seen with these addresses, over and over, until the function that it returns is called. */
  readonly stream: (
    flows: readonly { readonly row: Row; readonly addresses: readonly string[] }[],
    perSecond?: number,
  ) => Promise<() => Promise<StreamResult>>;
}

export interface StreamResult {
  readonly sent: number;
  readonly received: number;
  readonly wrong: number;
  readonly samples: readonly string[];
}

/** What has not arrived by then is made again, until the last moment. */
const AGAIN_MS = 500;
const PATIENCE_MS = 30_000;
const PER_SECOND = times(1_000, 10_000);

/** Furnishes a lab for rows, and starts what makes flows. */
export async function openPackets(lab: Lab): Promise<Packets> {
  const script = join(lab.directory, "packets.cjs");
  const options = ["--bundle", "--platform=node", "--target=node20", "--format=cjs", "--log-level=error"];
  const source = "test/lab/network/packets-probe.ts";
  await Promise.all([
    command("node_modules/.bin/esbuild", [source, ...options, `--outfile=${script}`]),
    furnishPackets(lab),
  ]);
  const probes = await Promise.all(
    PLACES_OF_PROBES.map((place) => start(lab.inside(place, process.execPath, script))),
  );
  const probeAt = (place: Place) => probes[PLACES_OF_PROBES.indexOf(place)] as Probe;
  const look = createLook(probeAt);
  return {
    look,
    wrong: async (settings, rows) => {
      const seen = await look(rows);
      return rows.flatMap((row, i) => complaint(settings, row, seen[i]) ?? []);
    },
    stream: createStream(probeAt),
  };
}

/** What is wrong with what was seen of a row. */
function complaint(settings: PacketSettings, row: Row, seen: ProbeArrival | undefined): string | undefined {
  const { name, family, packet, tunnel } = row;
  const expected = expectedOfRow(settings, row);
  const where = `${family} ${name}, ${packet.source} to ${packet.destination} through ${packet.link}`;
  if (seen === undefined) return `${where}: did not arrive`;
  const address = tunnel === "inner" ? seen.inner : seen.address;
  if (!expected.addresses.includes(address ?? ""))
    return `${where}: seen as ${address} instead of ${expected.addresses.join(" or ")}`;
  // A packet in a tunnel shows only its source.
  if (tunnel === "inner" || row.always !== undefined) return undefined;
  return isRightPort(settings, row, expected, seen) ? undefined : `${where}: seen from port ${seen.port}`;
}

function isRightPort(
  { toPorts = [] }: PacketSettings,
  { tunnel }: Row,
  { isKept }: Expected,
  { port, sentFrom }: ProbeArrival,
): boolean {
  if (!isKept) return toPorts.length === 0 || toPorts.some(([first, last]) => first <= port && port <= last);
  return tunnel === "outer" ? TUNNEL_PORTS.first <= port && port <= TUNNEL_PORTS.last : port === sentFrom;
}

interface Probe {
  readonly tell: (command: ProbeCommand) => void;
  /** Receives the answers of a kind from now on. */
  readonly listen: (kind: string, listener: (answer: unknown) => void) => void;
}

function start([file = "", ...args]: readonly string[]): Promise<Probe> {
  const child: ChildProcess = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const listeners = new Map<string, (answer: unknown) => void>();
  child.stdin?.on("error", () => {});
  const probe: Probe = {
    tell: (value) => child.stdin?.write(`${JSON.stringify(value)}\n`),
    listen: (kind, listener) => listeners.set(kind, listener),
  };
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("exit", () => reject(new Error("a probe ended before it was ready")));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const answer = JSON.parse(line) as "ready" | { readonly kind: string };
      if (answer === "ready") resolve(probe);
      else listeners.get(answer.kind)?.(answer);
    });
  });
}

function flowOf({ source, sourcePort, destination, port }: Row): FlowToMake {
  return { source, sourcePort, destination, port };
}

function createLook(probeAt: (place: Place) => Probe): Packets["look"] {
  let id = 0;
  const probe = (rows: readonly Row[], which: readonly number[], current: number) => {
    for (const place of PLACES_OF_PROBES) {
      const indices = which.filter((index) => rows[index]?.from === place);
      const flows = indices.map((index) => ({ index, ...flowOf(rows[index] as Row) }));
      if (flows.length > 0) probeAt(place).tell({ command: "probe", id: current, flows });
    }
  };
  return async (rows) => {
    const seen = new Array<ProbeArrival | undefined>(rows.length).fill(undefined);
    const current = ++id;
    const missing = () => [...seen.keys()].filter((index) => seen[index] === undefined);
    const all = new Promise<void>((resolve) => {
      for (const place of PLACES_OF_PROBES)
        probeAt(place).listen("arrival", (answer) => {
          const arrival = answer as ProbeArrival;
          if (arrival.id === current) seen[arrival.index] ??= arrival;
          if (missing().length === 0) resolve();
        });
    });
    const deadline = performance.now() + PATIENCE_MS;
    while (missing().length > 0 && performance.now() < deadline) {
      probe(rows, missing(), current);
      await Promise.race([all, setTimeout(AGAIN_MS)]);
    }
    return seen;
  };
}

function answerOf<T>(probe: Probe, kind: string): Promise<T> {
  return new Promise((resolve) => probe.listen(kind, (answer) => resolve(answer as T)));
}

function createStream(probeAt: (place: Place) => Probe): Packets["stream"] {
  const report = async () => {
    const tallies = PLACES_OF_PROBES.map((place) => {
      const answer = answerOf<StreamTally>(probeAt(place), "tally");
      probeAt(place).tell({ command: "report" });
      return answer;
    });
    return sum(await Promise.all(tallies));
  };
  return async (flows, perSecond = PER_SECOND) => {
    const addresses = flows.map((flow) => flow.addresses);
    for (const place of PLACES_OF_PROBES) probeAt(place).tell({ command: "expect", addresses });
    await report();
    const from = PLACES_OF_PROBES.filter((place) => flows.some(({ row }) => row.from === place));
    const ended = from.map((place) => answerOf<StreamEnd>(probeAt(place), "sent"));
    for (const place of from) {
      const own = flows.flatMap(({ row }, index) => (row.from === place ? { index, ...flowOf(row) } : []));
      const share = (perSecond * own.length) / flows.length;
      probeAt(place).tell({ command: "stream", flows: own, perSecond: share });
    }
    return async () => {
      for (const place of from) probeAt(place).tell({ command: "stop" });
      const sent = await Promise.all(ended);
      const failed = sent.flatMap((one) => one.failed);
      if (failed.length > 0) throw new Error(`flows that could not be made: ${failed.join("; ")}`);
      const tallies: Omit<StreamResult, "sent">[] = [];
      // What was sent last may still be on its way through the receivers' buffers; once nothing comes, it has arrived.
      await eventually(async () => {
        const tally = await report();
        tallies.push(tally);
        if (tally.received > 0) throw new Error("flows still arrive");
      });
      return { sent: sent.reduce((all, one) => all + one.sent, 0), ...sum(tallies) };
    };
  };
}

function sum(tallies: readonly Omit<StreamResult, "sent">[]): Omit<StreamResult, "sent"> {
  const total = (field: "received" | "wrong") => tallies.reduce((all, tally) => all + tally[field], 0);
  return {
    received: total("received"),
    wrong: total("wrong"),
    samples: tallies.flatMap(({ samples }) => samples),
  };
}

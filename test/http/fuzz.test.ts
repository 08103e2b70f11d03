/** Whatever a client does, the server answers as it should, and what else its process does is hardly later than without it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { plainReply } from "../../src/observe/reply.ts";
import { eventually } from "../lab/network/lab.ts";
import { type Served, startServer, statusOf } from "./server.ts";

const CLIENT = "test/http/fuzz-client.mjs";
const MEASURED_MS = 4_000;
/** What an answer costs, as metrics of a long list do. */
const COST_MS = 4;
const TICK_MS = 2;
const CODES = ["200", "400", "404", "405", "408", "413", "417", "431", "503"];

interface Attack {
  readonly connections: number;
  readonly codes: Record<string, number>;
}
type Attacks = Record<string, Attack> & { readonly thousand: Attack; readonly traversal: Attack };

/** How many probes have to get through: the clients that hold connections are turned away themselves meanwhile. */
const PROBES = 100;

const children: ChildProcess[] = [];
let served: Served;
/** How often an answer was made. */
let made = 0;

beforeAll(async () => {
  const costly = () => {
    made++;
    const until = performance.now() + COST_MS;
    while (performance.now() < until);
    return plainReply(200, "x".repeat(100_000));
  };
  const routes = { "/": costly, "/metrics": costly, "/healthz": () => plainReply(200, "ok\n") };
  served = await startServer(routes);
});
afterAll(() => {
  served?.stop();
  for (const child of children) child.kill("SIGKILL");
});

test("every kind of bad request, and how long each keeps the loop", async () => {
  made = 0;
  const { output, ms, stretches } = await stretchesBeside(start(String(served.port), String(MEASURED_MS)));
  const { attacks, leaks } = JSON.parse(output) as { attacks: Attacks; leaks: string[] };

  expect(leaks).toEqual([]);
  for (const [name, { connections, codes }] of Object.entries(attacks)) {
    expect(connections, name).toBeGreaterThan(0);
    expect(
      Object.keys(codes).filter((code) => !CODES.includes(code)),
      name,
    ).toEqual([]);
  }
  expect(Object.keys(attacks.traversal.codes).filter((code) => code !== "400" && code !== "404")).toEqual([]);
  expect(attacks.thousand.connections).toBeGreaterThanOrEqual(1_000);
  // Of each of two costly answers, one in 50 ms at most, and a few in a row.
  expect(made).toBeLessThanOrEqual((ms / 50 + 5) * 2);
  const p99 = stretches.at(-Math.ceil(stretches.length / 100));
  console.log(
    `1,000 and more connections at once: p99 ${p99} ms, longest ${stretches.at(-1)} ms between two ticks`,
  );
  expect(p99).toBeLessThan(5 * COST_MS);
  expect(stretches.at(-1)).toBeLessThan(25 * COST_MS);
  // Once the others are gone, which takes a busy machine a while.
  await eventually(probe);
});

test("a probe gets through beside clients that would hold every connection", async () => {
  const client = start(String(served.port), "300000", "slow", "deaf");
  const over = allOutput(client);
  await once(client.stdout as NodeJS.ReadableStream, "data");
  // A newcomer is turned away while all others have just come, as the kubelet is, which tries again.
  for (let answered = 0; answered < PROBES; answered++) await eventually(probe);
  client.kill("SIGTERM");
  expect(JSON.parse(await over).attacks.slow.connections).toBeGreaterThanOrEqual(100);
});

/**
 * How much this process computed between two ticks of a timer while the child ran, sorted, in milliseconds: so late is
 * whatever else wants to run. Not by the clock, for other processes delay it too.
 */
async function stretchesBeside(child: ChildProcess) {
  const stretches: number[] = [];
  const startedAt = performance.now();
  let last = process.cpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(last);
    last = process.cpuUsage();
    stretches.push((user + system) / 1_000);
  }, TICK_MS);
  const output = await allOutput(child);
  clearInterval(timer);
  return { output, ms: performance.now() - startedAt, stretches: stretches.toSorted((a, b) => a - b) };
}

async function probe(): Promise<void> {
  expect(await statusOf(served.port, "/healthz")).toBe(200);
}

function start(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [CLIENT, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return child;
}

async function allOutput(child: ChildProcess): Promise<string> {
  let output = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, "close");
  expect(code).toBe(0);
  return output;
}

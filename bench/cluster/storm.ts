/**
 * The API server ends under thousands of watchers and starts again: how soon all are back, and what an innocent client has of it, which
 * makes a new connection five times a second. The watchers come back by the agent's own code.
 *
 *   node scripts/run-ts.mjs bench/cluster/storm.ts [WATCHERS]     (server.ts says with which programs)
 */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { get } from "node:https";
import { createInterface } from "node:readline";
import { eventually } from "../../test/lab/network/lab.ts";
import { table } from "../report.ts";
import { quantile } from "../statistics.ts";
import { herdChild, startHerd, watching } from "./herd.ts";
import { type ApiServer, withApiServer } from "./server.ts";

const PER_SECOND = 200;
const PROBE_MS = 200;
const PROBE_LIMIT_MS = 10_000;
const CALM_MS = 5_000;
const AFTERWARDS_MS = 2_000;
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A request of the innocent client: when it began, how long it took, and whether it was answered. */
interface Probe {
  readonly at: number;
  readonly ms: number;
  readonly ok: boolean;
}

/** The child that is the innocent client: prints a line for each request. */
function innocentChild(keys: string): void {
  const file = (name: string) => readFileSync(`${keys}/${name}`);
  const identity = { ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") };
  setInterval(() => {
    const at = Date.now();
    const tell = (ok: boolean) =>
      console.log(JSON.stringify({ at, ms: Date.now() - at, ok } satisfies Probe));
    const place = { host: "127.0.0.1", port: 6443, path: "/version", agent: false, ...identity } as const;
    const request = get({ ...place, timeout: PROBE_LIMIT_MS }, (answer) => {
      answer.resume().on("end", () => tell(answer.statusCode === 200));
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", () => tell(false));
  }, PROBE_MS);
}

function startInnocent({ lab, keys }: ApiServer) {
  const own = [process.execPath, process.argv[1] ?? "", "--innocent", keys];
  const [file = "", ...args] = lab.inside("node", ...own);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  const probes: Probe[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => probes.push(JSON.parse(line) as Probe));
  return { probes, end: () => child.kill("SIGKILL") };
}

async function measure(api: ApiServer, count: number): Promise<void> {
  const herd = startHerd(api, count, PER_SECOND);
  await watching(herd, count);
  const { probes, end } = startInnocent(api);
  await pause(CALM_MS);
  await herd.mark();
  const killedAt = Date.now();
  await api.restart();
  // Until then it answers some requests and lets others wait, however many watchers there are.
  await eventually(() => api.kubectl("get", "--raw", "/readyz"), 60_000);
  const readyAt = Date.now();
  const half = await watching(herd, count / 2, killedAt);
  const all = await watching(herd, count, killedAt);
  await pause(AFTERWARDS_MS);
  const { ends } = await herd.mark();
  end();
  herd.end();
  const answered = (some: readonly Probe[]) => some.filter(({ ok }) => ok).map(({ ms }) => ms);
  const calm = answered(probes.filter(({ at }) => at < killedAt));
  const since = probes.filter(({ at }) => at >= readyAt);
  const after = answered(since);
  console.log(
    table(
      [`${count} watchers, the server killed`, ""],
      [
        ["it is ready again after, s", ((readyAt - killedAt) / 1_000).toFixed(1)],
        ["half of the watchers are back after, s", (half / 1_000).toFixed(1)],
        ["all of them", (all / 1_000).toFixed(1)],
        ["innocent client before: p50, most, ms", `${quantile(calm, 0.5)}, ${quantile(calm, 1)}`],
        ["from then on: p50", String(quantile(after, 0.5))],
        ["p90", String(quantile(after, 0.9))],
        ["most", String(quantile(after, 1))],
        ["without an answer, of", `${since.length - after.length} of ${since.length}`],
        [
          "sessions that ended",
          Object.entries(ends)
            .map(([name, times]) => `${name}: ${times}`)
            .join(", "),
        ],
      ],
    ),
  );
}

const [, , first = "3000", second = ""] = process.argv;
if (first === "--herd") herdChild(process.argv.slice(3));
else if (first === "--innocent") innocentChild(second);
else void withApiServer((api) => measure(api, Number(first)));
